"""Imports timm, also beside a torchvision that was built for another torch."""

from __future__ import annotations

import importlib
from types import ModuleType

from blemish.backbones.torchvision_import import import_torchvision
from blemish.errors import MissingExtraError


def import_timm() -> ModuleType:
    """The timm module.

    Raises:
        MissingExtraError: timm, torchvision or torch is not installed.
    """
    try:
        import_torchvision()
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torchvision", "timm", "This backbone") from None
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "timm", "timm", "This backbone") from None
