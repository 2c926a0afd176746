"""What the embedded backbone is trained on: crops of procedural scenes, alone or as two views of one place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from blemish.files import replaced
from blemish.procedural.scenes import scene
from blemish.procedural.seeding import generator

SCENE_SIZE = 192
# (crop side, crops per batch): nearly the same number of pixels per step. The large crops teach features far from a
# border, the small ones give a batch more scenes.
CROPS = ((128, 16), (192, 7))
# Side, pairs per batch, and farthest offset of the second view.
PAIRS = (128, 8, 48)
CELL = 16  # pixels: offsets are multiples of it, so that cells of every level fall on one another
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

Picture = NDArray[np.float32]


def normalised(pictures: NDArray[np.uint8] | Picture) -> Tensor:
    """B×H×W×3 uint8, or float32 in [0, 255], to B×3×H×W with ImageNet's mean and standard deviation."""
    images = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
    return ((images - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def draw_scenes(path: Path, count: int, seed: int) -> NDArray[np.uint8]:
    """`count` scenes from `path`, which is made if it does not exist."""
    if not path.exists():
        with replaced(path) as temporary:
            shape = (count, SCENE_SIZE, SCENE_SIZE, 3)
            out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            for index in range(count):
                out[index] = scene(SCENE_SIZE, generator(seed, "scene", index))
                if index % 500 == 0:
                    print(f"scene {index} of {count}", flush=True)
            out.flush()
            del out
    scenes: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return scenes


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """Item `step` is the batch of that step: images B×3×H×W, and where pairs lie.

    Alone, each image is a random crop of a random scene, turned, flipped and recoloured. In pairs, image i and image
    i + B/2 are crops of one scene, seen under other light; offsets B/2×2 say by how many cells of 16 px (rows, columns)
    the second begins after the first.
    """

    def __init__(self, scenes: NDArray[np.uint8], seed: int, pairs: bool) -> None:
        self._scenes, self._seed, self._pairs = scenes, seed, pairs

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        rng = generator(self._seed, "batch", step)
        return self._in_pairs(rng) if self._pairs else (self._alone(rng), torch.zeros(0, 2, dtype=torch.int64))

    def _alone(self, rng: np.random.Generator) -> Tensor:
        side, number = CROPS[int(rng.integers(len(CROPS)))]
        crops = []
        for index in rng.integers(len(self._scenes), size=number):
            top, left = rng.integers(SCENE_SIZE - side + 1, size=2)
            crops.append(recoloured(turned(self._scenes[index, top : top + side, left : left + side], rng), rng))
        return normalised(np.stack(crops))

    def _in_pairs(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        side, number, farthest = PAIRS
        first, second, offsets = [], [], []
        steps = farthest // CELL
        for index in rng.integers(len(self._scenes), size=number):
            picture = recoloured(turned(self._scenes[index], rng), rng)
            offset = rng.integers(-steps, steps + 1, size=2)
            low = np.maximum(0, -offset * CELL)
            high = SCENE_SIZE - side - np.maximum(0, offset * CELL)
            start = np.array([rng.integers(a, b + 1) for a, b in zip(low, high, strict=True)])
            for views, (top, left) in ((first, start), (second, start + offset * CELL)):
                views.append(relit(picture[top : top + side, left : left + side], rng))
            offsets.append(offset)
        return normalised(np.stack(first + second)), torch.from_numpy(np.stack(offsets))


def turned(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turned by quarters, and flipped in half of the cases."""
    picture = np.rot90(picture, int(rng.integers(4)))
    return picture[:, ::-1] if rng.random() < 0.5 else picture


def recoloured(picture: NDArray[np.uint8], rng: np.random.Generator) -> Picture:
    """Change saturation (to grey in a quarter of the cases), hue, contrast and brightness."""
    colours = picture.astype(np.float32)
    grey = colours.mean(axis=2, keepdims=True)
    saturation = 0 if rng.random() < 0.25 else rng.uniform(0.4, 1.3)
    colours = (grey + (colours - grey) * saturation)[:, :, rng.permutation(3)]
    mean = colours.mean()
    colours = mean * rng.uniform(0.7, 1.3) + (colours - mean) * rng.uniform(0.5, 1.4)
    return np.asarray(np.clip(colours, 0, 255), dtype=np.float32)


def relit(picture: Picture, rng: np.random.Generator) -> Picture:
    """The same place under slightly other light, by a slightly other camera: gain, tint, and noise."""
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.96, 1.04, size=3)
    noise = rng.normal(0, rng.uniform(0, 5), size=picture.shape)
    return np.asarray(np.clip(picture * gain + noise, 0, 255), dtype=np.float32)
