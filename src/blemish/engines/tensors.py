"""Files of tensors: safetensors, with Blemish's own errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from blemish.errors import ModelError


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors of any device to `path`.

    Raises:
        OSError: the disk is full or the place cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, path, metadata=None if metadata is None else dict(metadata))
    except SafetensorError as error:  # it wraps the operating system's errors
        raise OSError(str(error)) from error


def read_metadata(path: Path) -> dict[str, str]:
    """Read the texts in the header of a model's file.

    Raises:
        ModelError: it is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ModelError(f"{path.parent} has no {path.name}.", "Is the model folder complete?")
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged: {error}.", "Copy the model folder again.") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a model's file.

    Raises:
        ModelError: it is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ModelError(f"{path.parent} has no {path.name}.", "Is the model folder complete?")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged: {error}.", "Copy the model folder again.") from error
