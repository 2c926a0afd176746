"""diffusers at its first use, with a clear error where it is not installed."""

from __future__ import annotations

from types import ModuleType

from blemish.backbones.transformers_import import import_beside_torchvision


def import_diffusers(module: str = "diffusers") -> ModuleType:
    """diffusers or one of its modules.

    Raises:
        MissingExtraError: it is not installed.
    """
    return import_beside_torchvision(module, "Repainting by diffusion")
