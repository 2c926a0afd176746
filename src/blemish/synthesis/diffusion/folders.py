"""Folders of weights that the user brings: what belongs there, and errors that name what is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from blemish.errors import ModelError

Alternatives = Mapping[str, tuple[str, ...]]


def require(folder: Path, files: Alternatives, belongs: str) -> None:
    """Check that a folder is complete.

    Args:
        files: what is wanted, as it is called in the error → the paths within the folder of which one must exist.
        belongs: a sentence that says what such a folder holds.

    Raises:
        ModelError: the folder or some of the files are missing; all of them are named.
    """
    if not folder.is_dir():
        raise ModelError(f"There is no folder {folder}.", belongs)
    missing = [name for name, paths in files.items() if not any((folder / path).is_file() for path in paths)]
    if missing:
        raise ModelError(f"{folder} is not complete: it lacks {', '.join(missing)}.", belongs)


def read_config(path: Path, belongs: str) -> dict[str, Any]:
    """A JSON file that holds an object. Raises ModelError."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}.", belongs) from None
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds no object with settings.", belongs)
    return config


def read_tensors(path: Path, belongs: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises ModelError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} is not a safetensors file: {error}.", belongs) from None
