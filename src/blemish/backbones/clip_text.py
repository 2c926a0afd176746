"""Embeddings of names by the text tower of a CLIP that transformers saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from blemish.backbones.transformers_folder import read_json
from blemish.backbones.transformers_import import import_transformers, quiet
from blemish.errors import ConfigError, ModelError

# UniADC's release; each is followed by a space and the name.
TEMPLATES = (
    "a photo of",
    "an image of",
    "a photograph of",
    "a picture of",
    "a photo of a",
    "an image of a",
    "a photo of the",
    "an image of the",
    "a close-up photo of",
    "a cropped image featuring",
)
_TOKENISERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))
_REMEDY = (
    "Name a folder of a CLIP that transformers saved: config.json, model.safetensors, and the tokeniser's "
    "tokenizer.json, or vocab.json and merges.txt."
)


@torch.no_grad()
def clip_embeddings(folder: Path, names: Sequence[str], width: int) -> Tensor:
    """Mean over ten templates of the projected text features, then L2-normalised (UniADC §2).

    The features of the single templates are not normalised before their mean. Underscores in a name become spaces;
    a text beyond the tower's length is cut. Nothing is downloaded, and no code of the folder is run.

    Args:
        folder: a whole CLIP or its text tower with projection, and its tokeniser.
        names: of the categories.
        width: T; must be what the tower projects to (512 with ViT-B, 768 with ViT-L).

    Returns:
        float32 K×T, unit vectors.

    Raises:
        ConfigError: the tower gives another width.
        ModelError: the folder is missing, incomplete, damaged or of another kind of model.
        MissingExtraError: transformers is not installed.
    """
    model, tokenizer = _read(folder)
    found = model.config.projection_dim
    if found != width:
        raise ConfigError(
            f"The text tower in {folder} gives {found} values, not {width}.", f"Set the width to {found}."
        )
    length = model.config.max_position_embeddings
    rows = []
    for name in names:
        texts = [f"{template} {name.replace('_', ' ').strip()}" for template in TEMPLATES]
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=length, return_tensors="pt")
        features = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).text_embeds
        rows.append(F.normalize(features.float().mean(dim=0), dim=0))
    return torch.stack(rows)


def _read(folder: Path) -> tuple[Any, Any]:
    if not folder.is_dir():
        raise ModelError(f"There is no folder {folder}.", _REMEDY)
    transformers = import_transformers("Reading names with CLIP")
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in ("clip", "clip_text_model"):
        raise ModelError(f"{folder} is a model of the type '{kind}', not a CLIP.", _REMEDY)
    if not any(all((folder / name).is_file() for name in names) for names in _TOKENISERS):
        raise ModelError(f"{folder} has no tokeniser.", _REMEDY)  # transformers would make up an empty one
    try:
        with quiet():
            model, loading = transformers.CLIPTextModelWithProjection.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                attn_implementation="sdpa",
                output_loading_info=True,
            )
            tokenizer = transformers.CLIPTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers raises errors of a dozen libraries
        first = str(error).strip().partition("\n")[0]
        raise ModelError(f"{folder} cannot be read as a CLIP: {first}.", _REMEDY) from error
    if missing := sorted(loading["missing_keys"]):
        raise ModelError(f"{folder} lacks {len(missing)} weights of the text tower, such as {missing[0]}.", _REMEDY)
    return model.eval().float(), tokenizer
