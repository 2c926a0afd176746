"""Embeddings of categories, which UniADC's discriminator compares features with (UniADC §2).

Three sources, named as one text: `anchors`, `clip:<folder>` and `file:<path.safetensors>`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from hashlib import shake_256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish.errors import ConfigError, ModelError

SOURCES = "Choose 'anchors', 'clip:<folder>' or 'file:<path.safetensors>'."


def category_embeddings(source: str, names: Sequence[str], width: int) -> Tensor:
    """One embedding per category. There is none for normal: normal is what no category claims.

    Args:
        source: `anchors` (no text model), `clip:<folder>` (text tower of a CLIP that transformers saved), or
            `file:<path.safetensors>` (made elsewhere, such as by dino.txt).
        names: of the categories; a name that occurs twice, in two products, gets the same embedding twice.
        width: T, values per embedding.

    Returns:
        float32 K×T, on the CPU, in the order of `names`. A name's row never depends on the other names.

    Raises:
        ConfigError: no such source, no names, an empty name, or a width that the source does not give.
        ModelError: the folder or file is missing, damaged, or lacks a name.
        MissingExtraError: `clip:` without transformers.
    """
    if not names or not all(name.strip() for name in names):
        raise ConfigError("There are no categories, or one of them has no name.", "Name every category.")
    if width < 1:
        raise ConfigError(f"Embeddings cannot have {width} values.", "Choose a width such as 256.")
    kind, _, place = source.partition(":")
    if source == "anchors":
        return anchors(names, width)
    if kind == "clip" and place:
        from blemish.backbones.clip_text import clip_embeddings

        return clip_embeddings(Path(place).expanduser(), names, width)
    if kind == "file" and place:
        return file_embeddings(Path(place).expanduser(), names, width)
    raise ConfigError(f"There is no source of category embeddings '{source}'.", SOURCES)


def anchors(names: Sequence[str], width: int) -> Tensor:
    """Fixed unit vectors without a text model: each value is +1/√T or −1/√T, by a hash (SHAKE-256) of the name alone.

    Adding or removing a category therefore never changes another's, on any machine and with any library. The price is
    that two vectors are only nearly orthogonal: their cosine has the mean 0 and the standard deviation 1/√T. A
    codebook of exactly orthogonal vectors would have two of 60 names collide. Median over 100 sets of names of the
    largest |cosine| in a set, and in brackets the largest of all sets:

        names   T = 128        T = 256        T = 512        T = 1024
           10   0.22 (0.30)    0.15 (0.23)    0.11 (0.17)    0.08 (0.14)
           30   0.28 (0.36)    0.20 (0.28)    0.14 (0.19)    0.10 (0.15)
           60   0.31 (0.39)    0.23 (0.31)    0.16 (0.20)    0.11 (0.15)

    Args:
        names: of the categories; the same letters spelt by different code points are the same name.
        width: T.

    Returns:
        float32 K×T.
    """
    return torch.from_numpy(np.stack([_anchor(name, width) for name in names]))


def apart(vectors: Tensor) -> Tensor:
    """Vectors K×T made orthogonal one after another (Gram–Schmidt), so that appended ones change none before.

    Those beyond the first T stay as they are: there is no room for more.
    """
    room = vectors[: vectors.shape[1]]
    basis, triangle = torch.linalg.qr(room.T.double())
    return torch.cat([(basis * triangle.diagonal().sign()).T.to(vectors.dtype), vectors[len(room) :]])


def _anchor(name: str, width: int) -> NDArray[np.float32]:
    digest = shake_256(unicodedata.normalize("NFC", name).encode("utf-8", "surrogatepass")).digest(-(-width // 8))
    signs = np.unpackbits(np.frombuffer(digest, np.uint8))[:width].astype(np.float32) * 2 - 1
    return np.asarray(signs / np.sqrt(np.float32(width)), dtype=np.float32)


def file_embeddings(path: Path, names: Sequence[str], width: int) -> Tensor:
    """Embeddings made elsewhere: a safetensors file with one vector of `width` values per name.

    It is the way to dino.txt, the paper's text encoder, whose text tower no library ships. dino.txt gives 2048
    values; the paper averages its ten templates, normalises all 2048, and takes the second half, columns 1024 to 2047
    (those aligned with patches), which is not normalised again: store these 1024 values.

    Args:
        path: the file.
        names: of the categories; all of them must be in the file, which may hold more.
        width: T.

    Returns:
        float32 K×T, as stored; the discriminator's cosine does not see their length.

    Raises:
        ModelError: the file is missing, damaged, lacks names (all of which are listed) or holds a zero vector.
        ConfigError: its vectors have another width.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ModelError(f"There is no file of embeddings {path}.", SOURCES)
    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path} is not a safetensors file: {error}.", "Write it again.") from error
    stored = {unicodedata.normalize("NFC", name): vector for name, vector in stored.items()}
    wanted = [unicodedata.normalize("NFC", name) for name in names]
    if missing := sorted({name for name in wanted if name not in stored}):
        raise ModelError(f"{path} has no embeddings of: {', '.join(missing)}.", "Add one vector per name.")
    return torch.stack([_vector(stored[name], name, path, width) for name in wanted])


def _vector(found: Tensor, name: str, path: Path, width: int) -> Tensor:
    if found.shape != (width,):
        hint = " Of dino.txt's 2048 values store columns 1024 to 2047." if found.shape == (2048,) else ""
        raise ConfigError(
            f"The embedding of '{name}' in {path} has the shape {tuple(found.shape)}, not ({width},).",
            f"Set the width to that of the file, or write the file again.{hint}",
        )
    vector = found.float()
    if not bool(vector.isfinite().all()) or not bool(vector.any()):
        raise ModelError(f"The embedding of '{name}' in {path} is zero or not finite.", "Write the file again.")
    return vector
