"""The batch of every step: which images, which pseudo-anomalies, which prompts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish.backbones.reduced import ReducedBackbone
from blemish.config import TrainConfig
from blemish.models.prompted import PromptedNetwork
from blemish.procedural.seeding import generator
from blemish.training.anomalies import AnomalyMaker
from blemish.training.discriminants import within_whitening
from blemish.training.features import AnomalyPool, chunks, clean_features, standardised
from blemish.training.images import TrainingSet, choose_prompts, draw_weights, random_prompts
from blemish.training.neighbours import Neighbours
from blemish.training.runtime import Report, counter, silent
from blemish.training.step import Batch
from blemish.training.store import Store
from blemish.transfer import sent

_STATISTICS_CHUNK = 64


class BatchSource:
    """Computes what can be computed once, then composes batches.

    The standardisation and the prompts of the network are set on the way. The batch of a step depends on the seed and
    the step alone; with several processes each takes its share of the same batch.

    Args:
        network: with its backbone; on its device.
        training: the images.
        pixels: uint8 N×S×S×3, those of `training.train`.
        maker: makes the pseudo-anomalies.
        config: batch size, pool, prompts.
        steps: of the training.
        store: where features live.
        rank, world: number of this process, and of all processes.
        report: called with the stages `features`, `prompts` (with a prompt bank) and `pseudo-anomalies` (with a pool).
    """

    def __init__(
        self,
        network: PromptedNetwork,
        training: TrainingSet,
        pixels: NDArray[np.uint8],
        maker: AnomalyMaker,
        config: TrainConfig,
        steps: int,
        store: Store,
        rank: int = 0,
        world: int = 1,
        report: Report = silent,
    ) -> None:
        self._network, self._training, self._config = network, training, config
        self._maker = maker
        self._share = slice(rank, None, world)
        self._report = report
        self._clean = clean_features(network, pixels, store, counter(len(pixels), report, "features"))
        if config.init is None and config.model.standardise and not isinstance(network.backbone, ReducedBackbone):
            self._standardise()
        self._product = np.array([training.products.index(image.product) for image in training.train])
        if config.model.discriminant:
            cells = self._by_chunks(network.layout.means)
            network.get_buffer("discriminants").copy_(within_whitening(cells, self._product))
        self._prompt_rows = (
            choose_prompts(training, self._by_chunks(lambda tokens: tokens.mean(dim=(2, 3))).numpy())
            if config.stored_prompts == "central"
            else random_prompts(training, config.seed)
        )
        network.set_prompts(self._tokens(self._prompt_rows))
        self._weights = draw_weights(training, config.balance)
        self._own = [training.indices(product) for product in training.products]
        self._neighbours: Neighbours | None = None
        self._found: Tensor | None = None
        if config.model.prompt_patches:
            self._neighbours, self._found = self._compare(store)
        self._versions = config.versions(len(pixels), steps)
        self._pool = (
            AnomalyPool(network, maker, self._versions, config.refresh, steps, store, self._neighbours)
            if self._versions
            else None
        )

    def sample(self, count: int) -> Tensor:
        """Standardised tokens of evenly spread training images."""
        return self._tokens(np.unique(np.linspace(0, len(self._clean) - 1, count).astype(np.int64)))

    def prepare(self, step: int) -> None:
        """Make the pool of pseudo-anomalies as it is before `step`."""
        if self._pool is not None:
            self._pool.fill(step, self._report)

    def batch(self, step: int) -> tuple[Batch, np.random.Generator]:
        """The batch of a step, and the generator for the noise within it."""
        rng = generator(self._config.seed, "batch", step)
        rows = rng.choice(len(self._clean), self._config.batch, p=self._weights)
        versions = rng.integers(max(self._versions, 1), size=len(rows))
        if self._config.prompts == "random":
            prompts = np.array([rng.choice(self._own[product]) for product in self._product[rows]])
        else:
            prompts = self._prompt_rows[self._product[rows]]
        keys = step * self._config.batch + np.arange(len(rows))
        rows, versions, prompts, keys = (part[self._share] for part in (rows, versions, prompts, keys))
        if not self._config.uses_anomalies:
            return self._clean_batch(rows, prompts), rng
        if self._pool is not None:
            self._pool.renew(step)
            slots = sent(versions * len(self._clean) + rows, self._pool.features.device)
            anomalous = standardised(self._network, self._pool.features[slots])
            masks = self._pool.masks(slots)
        else:
            slots = None
            pixels, masks = self._maker.make(rows, keys)
            anomalous = self._network.standardised(self._network.tokens(pixels))
        mask = masks.to(anomalous.device).unsqueeze(1).float()
        if self._neighbours is None or self._found is None:
            chosen: tuple[Tensor, ...] = (self._tokens(prompts),)
        else:
            found = self._neighbours.find(anomalous, rows) if slots is None else self._pool_neighbours(slots)
            chosen = tuple(self._neighbours.compose(part, rows) for part in (self._own_neighbours(rows), found))
        return Batch(self._tokens(rows), anomalous, chosen, mask), rng

    def _clean_batch(self, rows: NDArray[np.int64], prompts: NDArray[np.int64]) -> Batch:
        if self._neighbours is None or self._found is None:
            prompt = self._tokens(prompts)
        else:
            prompt = self._neighbours.compose(self._own_neighbours(rows), rows)
        return Batch(self._tokens(rows), None, (prompt,), None)

    def _pool_neighbours(self, slots: Tensor) -> Tensor:
        assert self._pool is not None
        return self._pool.neighbours[slots.to(self._pool.neighbours.device)]

    def _own_neighbours(self, rows: NDArray[np.int64]) -> Tensor:
        assert self._found is not None
        return self._found[sent(rows, self._found.device)]

    def _compare(self, store: Store) -> tuple[Neighbours, Tensor | None]:
        """Fill the prompt bank and, where there is something to train, find in it what every training image may see."""
        count = len(self._clean)
        advance = counter(count * (1 + self._config.trains), self._report, "prompts")
        neighbours = Neighbours.of(self._network, self._training, self._clean, self._config.seed, advance)
        if not self._config.trains:
            return neighbours, None
        found = store.tensor((count, self._network.layout.side**2), torch.int32)
        for chunk in chunks(count, self._network.device):
            rows = np.arange(chunk.start, chunk.stop)
            found[chunk] = neighbours.find(self._tokens(rows), rows)
            advance(len(rows))
        return neighbours, found

    def _tokens(self, rows: NDArray[np.int64]) -> Tensor:
        """Standardised tokens of training images."""
        return standardised(self._network, self._clean[sent(rows, self._clean.device)])

    def _by_chunks(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """A function of the standardised tokens of all training images, on the CPU."""
        parts = np.array_split(np.arange(len(self._clean)), -(-len(self._clean) // _STATISTICS_CHUNK))
        return torch.cat([function(self._tokens(rows)).cpu() for rows in parts])

    def _standardise(self) -> None:
        """Mean and standard deviation per backbone channel: the folded cells of one channel share theirs."""
        layout = self._network.layout
        total: list[Tensor] = []
        squares: list[Tensor] = []
        count = len(self._clean) * layout.grid**2
        for start in range(0, len(self._clean), _STATISTICS_CHUNK):
            tokens = self._clean[start : start + _STATISTICS_CHUNK].double()
            total.append(tokens.sum(dim=(0, 2, 3)))
            squares.append(tokens.square().sum(dim=(0, 2, 3)))
        mean, square = torch.stack(total).sum(0) / count, torch.stack(squares).sum(0) / count
        mean, square = layout.shared(mean), layout.shared(square)
        std = (square - mean.square()).clamp(min=1e-12).sqrt()
        self._network.get_buffer("mean").copy_(mean.view(1, -1, 1, 1))
        self._network.get_buffer("std").copy_(std.clamp(min=1e-6).view(1, -1, 1, 1))
