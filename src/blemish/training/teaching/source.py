"""What the discriminators see of every training image, computed once, and the batch of every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

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
from blemish.training.features import CHUNK
from blemish.training.store import Store
from blemish.training.teaching.compose import NO_ROW, Composed, Composer

_LEARN = 48  # images that tell the principal components


@dataclass(frozen=True)
class Batch:
    """Inputs of one step.

    Attributes:
        inputs: B×D×side×side, see `CategoryHead.inputs`.
        labels: B×S×S, −1 or the number of a category among all of the model's.
        own: bool B×K, the categories of each image's product.
    """

    inputs: Tensor
    labels: Tensor
    own: Tensor


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


class LessonSource:
    """Computes inputs and labels of all training images of all products, then draws batches.

    Args:
        network: OneNIP, with its prompts; on its device.
        head: its projections are learned here.
        subjects: the products.
        config: batch size and seed.
        size: S.
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
        size: int,
        store: Store,
        rank: int = 0,
        world: int = 1,
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._network, self._head, self._config, self._advance = network, head, config, advance
        self._share = slice(rank, None, world)
        images = [(subject, number) for subject in subjects for number in range(len(subject.composer))]
        categories = head.get_buffer("embeddings").shape[0]
        side = network.layout.side
        if config.components:
            head.learn_projections(self._sample(images))
        self._inputs: NDArray[np.float16] = store.array((len(images), head.channels, side, side), np.float16)
        self._labels: NDArray[np.int16] = store.array((len(images), size, size), np.int16)
        self._own = np.zeros((len(images), categories), dtype=np.bool_)
        for start in range(0, len(images), CHUNK):
            chunk = images[start : start + CHUNK]
            place = slice(start, start + len(chunk))
            composed = [subject.composer[number] for subject, number in chunk]
            self._inputs[place] = self._see(chunk, composed)
            for row, ((subject, _), one) in enumerate(zip(chunk, composed, strict=True), start):
                numbers = np.array([*subject.rows, -1], dtype=np.int16)  # −1 stays −1
                self._labels[row] = numbers[one.labels]
                self._own[row, list(subject.rows)] = True
            advance(len(chunk))
        self._product = np.array([subject.index for subject, _ in images])
        self.real = np.array([number < subject.composer.real for subject, number in images])

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
    def _see(self, chunk: list[tuple[Subject, int]], composed: list[Composed]) -> NDArray[np.float16]:
        tokens = self._tokens(composed)
        products = torch.tensor([subject.index for subject, _ in chunk], device=tokens.device)
        excluded = [self._excluded(subject, one) for (subject, _), one in zip(chunk, composed, strict=True)]
        reconstruction = self._network.reconstruct(tokens, products, excluded)
        seen: NDArray[np.float16] = self._head.inputs(tokens, reconstruction).half().cpu().numpy()
        return seen

    def _tokens(self, composed: list[Composed]) -> Tensor:
        pixels = torch.from_numpy(np.stack([one.image for one in composed]))
        network = self._network
        return network.standardised(network.tokens(pixels.to(network.get_buffer("mean").device)))

    def _excluded(self, subject: Subject, one: Composed) -> Tensor | None:
        """Patches of an image's own part, which it would find at a distance that no new image has."""
        bank = self._network.bank
        if bank is None or one.row == NO_ROW:
            return None
        own = subject.kept.own_patches(one.row, bank.get_buffer("cells").shape[1])
        return None if own.all() else torch.from_numpy(own).to(bank.get_buffer("cells").device)

    def _sample(self, images: list[tuple[Subject, int]]) -> Iterator[Tensor]:
        chosen = np.unique(np.linspace(0, len(images) - 1, _LEARN).astype(np.int64))
        for start in range(0, len(chosen), CHUNK):
            rows = chosen[start : start + CHUNK]
            with torch.inference_mode():
                yield self._tokens([images[row][0].composer[images[row][1]] for row in rows.tolist()])


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
