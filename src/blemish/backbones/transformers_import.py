"""Imports transformers, also beside a torchvision that was built for another torch."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

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


@contextmanager
def silence(transformers: Any) -> Iterator[None]:
    """Neither transformers' own report of keys nor its progress bar: what is wrong is said here."""
    log = transformers.utils.logging
    before, bar = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(before)
        if bar:
            log.enable_progress_bar()
