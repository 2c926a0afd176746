"""Imports transformers, also beside a torchvision that was built for another torch."""

from __future__ import annotations

import importlib
from contextlib import suppress
from types import ModuleType

from blemish.backbones.torchvision_import import import_torchvision
from blemish.errors import MissingExtraError


def import_transformers(purpose: str = "This backbone") -> ModuleType:
    """The transformers module; it works without torchvision, but not with a broken one.

    Args:
        purpose: what needs it, for the message.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    with suppress(ModuleNotFoundError):
        import_torchvision()
    try:
        return importlib.import_module("transformers")
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "transformers", "diffusion", purpose) from None
