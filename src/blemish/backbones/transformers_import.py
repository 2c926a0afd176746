"""Imports transformers, also beside a torchvision that was built for another torch, and keeps it quiet."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType

from blemish.backbones.torchvision_import import import_torchvision
from blemish.errors import MissingExtraError

_TALKATIVE = ("transformers", "diffusers")


def import_transformers(purpose: str = "This network") -> ModuleType:
    """The transformers module.

    It uses torchvision where it is installed, works without it, and cannot be imported where it does not fit torch.
    Once torchvision is in, it can.

    Args:
        purpose: what needs it, for the message.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    return import_beside_torchvision("transformers", purpose)


def import_beside_torchvision(module: str, purpose: str) -> ModuleType:
    """A module of the extra `diffusion`, imported after torchvision.

    Raises:
        MissingExtraError: it is not installed.
    """
    with suppress(ImportError, OSError, RuntimeError):  # where torchvision cannot be mended, the module says so itself
        import_torchvision()
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or module.partition(".")[0], "diffusion", purpose) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Of transformers and diffusers only errors reach the terminal: no hints, no reports of keys, no progress bars."""
    names = (f"{package}.utils.logging" for package in _TALKATIVE)
    logs = [importlib.import_module(name) for name in names if name in sys.modules]
    before = [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in logs]
    try:
        for log in logs:
            log.set_verbosity_error()
            log.disable_progress_bar()
        yield
    finally:
        for log, (verbosity, bar) in zip(logs, before, strict=True):
            log.set_verbosity(verbosity)
            if bar:
                log.enable_progress_bar()
