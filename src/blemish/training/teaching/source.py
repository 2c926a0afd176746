"""What the discriminators see of every training image, computed once, and the batch of every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from blemish.config import TeachConfig
from blemish.kept.images import KeptImages
from blemish.models.categories import CategoryHead
from blemish.models.prompted import PromptedNetwork
from blemish.models.prototypes import DefectMean
from blemish.procedural.seeding import generator
from blemish.tiling import Tiling
from blemish.training.features import CHUNK
from blemish.training.store import Store
from blemish.training.teaching.compose import NO_ROW, Composed, Composer

_PIECES = 4
_LEARN = 48  # images that tell the principal components


class Batch:
    """Inputs of one step. No dataclass, for Fabric rounds the tensors of one to bf16.

    Args:
        inputs: B×D×side×side, see `CategoryHead.inputs`.
        labels: B×S×S, −1 or the number of a category among all of the model's.
        own: bool B×K, the categories of each image's product.
    """

    def __init__(self, inputs: Tensor, labels: Tensor, own: Tensor) -> None:
        self.inputs, self.labels, self.own = inputs, labels, own


@dataclass(frozen=True)
class Subject:
    """One product and what is learned of it.

    Attributes:
        index: of the product in the model.
        composer: makes its training images.
        kept: its normal images.
        rows: numbers of its categories among all of the model's.
    """

    index: int
    composer: Composer
    kept: KeptImages
    rows: tuple[int, ...]


@dataclass(frozen=True)
class _Chunk:
    """Images that are computed together: their rows, of which products they are, and B×C×h×w standardised tokens."""

    rows: NDArray[np.int64]
    subjects: list[Subject]
    composed: list[Composed]
    tokens: Tensor


class LessonSource:
    """Computes inputs and labels of all training images of all products, then draws batches.

    Args:
        network: OneNIP, with its prompts; on its device.
        head: its projections are learned here.
        subjects: the products.
        config: batch size and seed.
        tiling: how images are cut.
        store: where inputs live.
        rank, world: number of this process, and of all processes.
        advance: called with the number of images whose inputs were computed.
    """

    def __init__(
        self,
        network: PromptedNetwork,
        head: CategoryHead,
        subjects: list[Subject],
        config: TeachConfig,
        tiling: Tiling,
        store: Store,
        rank: int = 0,
        world: int = 1,
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._network, self._head, self._config = network, head, config
        self._share = slice(rank, None, world)
        self._tiling = tiling
        self._last: tuple[int, int, Composed, NDArray[np.int64]] | None = None  # the image that was cut last
        images = [
            (subject, number, piece)
            for subject in subjects
            for number in range(len(subject.composer))
            for piece in range(pieces(tiling))
        ]
        categories = head.get_buffer("embeddings").shape[0]
        side = network.layout.side
        self._inputs: NDArray[np.float16] = store.array((len(images), head.channels, side, side), np.float16)
        self._labels: NDArray[np.int16] = store.array((len(images), tiling.size, tiling.size), np.int16)
        self._own = np.zeros((len(images), categories), dtype=np.bool_)
        self._product = np.array([subject.index for subject, _, _ in images])
        self.real = np.array([number < subject.composer.real for subject, number, _ in images])
        sample = np.unique(np.linspace(0, len(images) - 1, _LEARN if config.components else 0).astype(np.int64))
        first = [self._compose(images, rows) for rows in _chunks(sample)]
        if first:
            head.learn_projections(one.tokens for one in first)
        others = np.setdiff1d(np.arange(len(images)), sample)
        for one in chain(first, (self._compose(images, rows) for rows in _chunks(others))):
            self._keep(one)
            advance(len(one.rows))

    def __len__(self) -> int:
        return len(self._inputs)

    def defects(self) -> Iterator[DefectMean]:
        """The mean input over each category's defects in each image."""
        side = self._inputs.shape[-1]
        for row, (product, real) in enumerate(zip(self._product, self.real, strict=True)):
            labels = torch.from_numpy(self._labels[row].astype(np.int64))
            for number in np.unique(labels[labels >= 0]).tolist():
                weights = F.adaptive_avg_pool2d((labels == number).float().unsqueeze(0), side)
                inputs = torch.from_numpy(self._inputs[row]).float()
                yield DefectMean(int(product), number, bool(real), (inputs * weights).sum(dim=(1, 2)) / weights.sum())

    def prepare(self, step: int) -> None:
        """Everything is ready."""

    def batch(self, step: int) -> tuple[Batch, np.random.Generator]:
        """The batch of a step: images of all products, each at most once."""
        rng = generator(self._config.seed, "lesson", step)
        rows = rng.permutation(len(self))[: self._config.batch][self._share]
        device = self._head.get_buffer("embeddings").device
        return (
            Batch(
                torch.from_numpy(self._inputs[rows]).to(device).float(),
                torch.from_numpy(self._labels[rows].astype(np.int64)).to(device),
                torch.from_numpy(self._own[rows]).to(device),
            ),
            rng,
        )

    @torch.inference_mode()
    def _compose(self, images: list[tuple[Subject, int, int]], rows: NDArray[np.int64]) -> _Chunk:
        subjects = [images[row][0] for row in rows.tolist()]
        composed = [self._piece(*images[row]) for row in rows.tolist()]
        pixels = torch.from_numpy(np.stack([one.image for one in composed]))
        network = self._network
        tokens = network.standardised(network.tokens(pixels.to(network.device)))
        return _Chunk(rows, subjects, composed, tokens)

    def _piece(self, subject: Subject, number: int, piece: int) -> Composed:
        """A tile of an image that was composed: first those with the most of its defects, then any."""
        if self._tiling.count == 1:
            return subject.composer[number]
        if self._last is None or self._last[:2] != (subject.index, number):
            whole = subject.composer[number]
            labels = self._tiling.cut(whole.labels)
            rng = generator(self._config.seed, f"tiles of {subject.index}", number)
            order = np.lexsort((rng.permutation(len(labels)), -(labels >= 0).sum(axis=(1, 2))))
            self._last = subject.index, number, whole, order
        _, _, whole, order = self._last
        tile = order[piece]
        return Composed(self._tiling.cut(whole.image)[tile], self._tiling.cut(whole.labels)[tile], whole.row)

    @torch.inference_mode()
    def _keep(self, chunk: _Chunk) -> None:
        tokens = chunk.tokens
        products = torch.tensor([subject.index for subject in chunk.subjects], device=tokens.device)
        excluded = [self._excluded(subject, one) for subject, one in zip(chunk.subjects, chunk.composed, strict=True)]
        reconstruction = self._network.reconstruct(tokens, products, excluded)
        self._inputs[chunk.rows] = self._head.inputs(tokens, reconstruction).half().cpu().numpy()
        for row, subject, one in zip(chunk.rows.tolist(), chunk.subjects, chunk.composed, strict=True):
            numbers = np.array([*subject.rows, -1], dtype=np.int16)  # −1 stays −1
            self._labels[row] = numbers[one.labels]
            self._own[row, list(subject.rows)] = True

    def _excluded(self, subject: Subject, one: Composed) -> Tensor | None:
        """Patches of an image's own part, which it would find at a distance that no new image has."""
        bank = self._network.bank
        if bank is None or one.row == NO_ROW:
            return None
        own = subject.kept.own_patches(one.row, bank.get_buffer("cells").shape[1], self._tiling.tiles)
        return None if own.all() else torch.from_numpy(own).to(bank.get_buffer("cells").device)


def pieces(tiling: Tiling) -> int:
    """How many tiles of an image are learned from."""
    return min(tiling.tiles, _PIECES)


def _chunks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def subjects_of(
    composers: Mapping[str, Composer],
    products: tuple[str, ...],
    kept: Mapping[str, KeptImages],
    categories: Mapping[str, tuple[str, ...]],
    names: tuple[str, ...],
) -> list[Subject]:
    """The products in the model's order, with the numbers of their categories among `names`."""
    return [
        Subject(index, composers[product], kept[product], tuple(names.index(name) for name in categories[product]))
        for index, product in enumerate(products)
        if product in composers
    ]
