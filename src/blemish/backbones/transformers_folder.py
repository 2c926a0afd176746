"""Where a model of transformers lies, and its JSON files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from blemish.config import HUB_ID
from blemish.errors import ModelError

FILES = (
    "Name a folder that transformers saved: it holds config.json, model.safetensors and, with most, "
    "preprocessor_config.json."
)


def locate(source: str, *, offline: bool) -> Path:
    """The folder of a model; an id on the hub is downloaded to the hub's own cache.

    Raises:
        ModelError: there is neither, or the hub would have to be asked although `offline`.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not re.fullmatch(HUB_ID, source) or folder.parent.is_dir():
        raise ModelError(f"There is no folder {source}.", FILES)
    if offline:
        raise ModelError(f"There is no folder {source}, and its weights would have to be downloaded.", FILES)
    try:
        from huggingface_hub import snapshot_download

        wanted = ["config.json", "preprocessor_config.json", "model*.safetensors", "model.safetensors.index.json"]
        return Path(snapshot_download(source, allow_patterns=wanted))
    except Exception as error:  # the hub client raises errors of a dozen libraries
        first = str(error).strip().partition("\n")[0]
        raise ModelError(f"There is no folder {source}, and the hub did not give it: {first}.", FILES) from error


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file of the folder. Raises ModelError."""
    if not path.is_file():
        raise ModelError(f"{path.parent} has no {path.name}.", FILES)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error}.", FILES) from None
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds no JSON object.", FILES)
    return found
