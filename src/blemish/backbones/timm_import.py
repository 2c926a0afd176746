"""Imports timm beside a torchvision that was built for another torch.

PyPI's torchvision may be a CUDA build while torch is a CPU build (or the other way round). Its compiled operators
then do not load, and `import torchvision` dies while it attaches meta functions to operators that do not exist.
Nothing in Blemish calls these operators, so declaring their names is enough for the import to pass; calling one
still fails loudly.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from blemish.errors import MissingExtraError

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library: Any = None  # torch forgets the declarations when the library object is collected


def import_timm() -> ModuleType:
    """The timm module.

    Raises:
        MissingExtraError: timm or torch is not installed.
    """
    try:
        import_torchvision()
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "timm", "timm", "This backbone") from None


def import_torchvision() -> ModuleType:
    """The torchvision module. Raises ModuleNotFoundError where it is not installed."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declare_operators()
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        return importlib.import_module("torchvision")


def _declare_operators() -> None:
    global _library
    import torch

    if _library is None:
        _library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for schema in _SCHEMAS:
            _library.define(schema)
