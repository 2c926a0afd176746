"""diffusers and transformers at their first use, with a clear error where they are not installed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType

from blemish.backbones.torchvision_import import import_torchvision
from blemish.errors import MissingExtraError

# Both libraries use torchvision where it is installed, and cannot be imported where it does not fit torch. Once it is
# in, they can, whoever imports them first. Where it cannot be imported at all, they say so themselves.
with suppress(ImportError, OSError, RuntimeError):
    import_torchvision()


def import_diffusers(module: str = "diffusers") -> ModuleType:
    """diffusers or one of its modules.

    Raises:
        MissingExtraError: it is not installed.
    """
    return _imported(module, "Repainting by diffusion")


def import_transformers() -> ModuleType:
    """transformers.

    Raises:
        MissingExtraError: it is not installed.
    """
    return _imported("transformers", "This network")


@contextmanager
def quiet() -> Iterator[None]:
    """Of transformers and diffusers only errors reach the terminal: no hints, no progress bars."""
    names = (f"{package}.utils.logging" for package in ("transformers", "diffusers"))
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


def _imported(module: str, purpose: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or module.partition(".")[0], "diffusion", purpose) from None
