"""Names for what OneNIP finds: UniADC's discriminator on OneNIP's features and reconstruction error."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blemish.backbones.layout import FeatureLayout
from blemish.config import TeachConfig
from blemish.models.prototypes import Prototypes
from blemish.models.uniadc import Discriminator

_SPREAD = 8.0  # standard deviation of a level's cells, all its components together
_CONTEXT_SCALE = 2.0  # means over a window vary less than cells


class CategoryHead(nn.Module):
    """Categories of all products, one embedding each; categories of the same name share theirs.

    Each level of the backbone is one tap, reduced to its principal components. The reconstruction error goes through
    the same projections and joins the features in the tap. A convolutional backbone sees little of an image at once:
    what differs from the image as a whole, such as its light, shows in features relative to the image's mean, and in
    one more tap, the deepest level averaged over a window.

    Args:
        layout: of OneNIP's tokens; its cells are what the discriminator sees.
        config: width, components, context, members, prototypes.
        embeddings: K×T, of the categories.
        products: number of the model's products.
    """

    def __init__(self, layout: FeatureLayout, config: TeachConfig, embeddings: Tensor, products: int) -> None:
        super().__init__()
        self.layout = layout
        self._error = config.error
        self._window = 2 * round(config.context * layout.side / 2) + 1 if config.context else 0
        self.register_buffer("embeddings", embeddings.float())
        self._reduced = [min(channels, config.components or channels) for channels in layout.channels]
        for level, (channels, reduced) in enumerate(zip(layout.channels, self._reduced, strict=True)):
            self.register_buffer(f"mean{level}", torch.zeros(channels))
            self.register_buffer(f"projection{level}", torch.eye(channels, reduced))
        levels = [reduced * (1 + config.error) for reduced in self._reduced]
        taps = [*levels, *levels[-1:]] if self._window else levels
        self.members = nn.ModuleList(Discriminator(taps, embeddings.shape[1]) for _ in range(config.members))
        for member in self.members:
            assert isinstance(member, Discriminator)
            nn.init.constant_(member.epsilon, config.temperature)
        self._prototype_share = config.prototypes
        self.prototypes = Prototypes(products, len(embeddings), sum(levels)) if config.prototypes else None

    @property
    def channels(self) -> int:
        """Channels of `inputs`."""
        return sum(self._reduced) * (1 + self._error)

    @torch.no_grad()
    def learn_projections(self, tokens: Iterable[Tensor]) -> None:
        """Set each level's projection to its principal components, scaled to one spread for all levels.

        Args:
            tokens: batches of standardised tokens.
        """
        count = 0
        sums = [torch.zeros(channels, dtype=torch.double) for channels in self.layout.channels]
        scatters = [torch.zeros(channels, channels, dtype=torch.double) for channels in self.layout.channels]
        for batch in tokens:
            cells = self.layout.unfold(batch)
            count += cells.shape[0] * cells.shape[2] * cells.shape[3]
            for level, part in enumerate(torch.split(cells, list(self.layout.channels), dim=1)):
                rows = part.permute(0, 2, 3, 1).flatten(0, 2).double().cpu()
                sums[level] += rows.sum(0)
                scatters[level] += rows.T @ rows
        for level, reduced in enumerate(self._reduced):
            mean = sums[level] / count
            values, vectors = torch.linalg.eigh(scatters[level] / count - torch.outer(mean, mean))
            scale = _SPREAD / values[-reduced:].sum().clamp(min=1e-12).sqrt()
            self.get_buffer(f"mean{level}").copy_(mean)
            self.get_buffer(f"projection{level}").copy_(vectors[:, -reduced:] * scale)

    def inputs(self, tokens: Tensor, reconstruction: Tensor) -> Tensor:
        """Standardised tokens and their reconstruction, B×C×h×w each → what the discriminators see: B×D×side×side."""
        cells = self._split(tokens)
        errors = self._split(tokens - reconstruction) if self._error else [None] * len(cells)
        parts: list[Tensor] = []
        for level, (cell, error) in enumerate(zip(cells, errors, strict=True)):
            projection = self.get_buffer(f"projection{level}")
            offset = self.get_buffer(f"mean{level}") @ projection
            parts.append(_projected(cell, projection) - offset.view(1, -1, 1, 1))
            if error is not None:
                parts.append(_projected(error, projection))
        return torch.cat(parts, dim=1)

    def taps(self, inputs: Tensor) -> list[Tensor]:
        """What the discriminators see, shallow to deep, laid out once as all members' necks read it."""
        levels = list(torch.split(inputs, [reduced * (1 + self._error) for reduced in self._reduced], dim=1))
        if self._window:
            levels = [self._relative(level, reduced) for level, reduced in zip(levels, self._reduced, strict=True)]
        taps = [level.contiguous(memory_format=torch.channels_last) for level in levels]
        if self._window:
            taps.append(_CONTEXT_SCALE * window_means(taps[-1], self._window))
        return taps

    def forward(self, inputs: Tensor, products: Tensor) -> Tensor:
        """Mean logits of the members, with names from the prototypes as well, at the cells' resolution.

        Args:
            inputs: B×D×side×side, see `inputs`.
            products: B, index of the product that each image shows.

        Returns:
            B×K×side×side.
        """
        taps, embeddings = self.taps(inputs), self.get_buffer("embeddings")
        logits = torch.stack([member.logits(taps, embeddings) for member in self.members]).mean(dim=0)  # type: ignore[operator]
        if self.prototypes is None:
            return logits
        return self.prototypes.name(inputs, products, logits, self._prototype_share)

    @staticmethod
    def _relative(level: Tensor, features: int) -> Tensor:
        """A level, of which the first channels are features, with these as they differ from the image's mean."""
        shift = level[:, :features].mean(dim=(2, 3), keepdim=True)
        return torch.cat([level[:, :features] - shift, level[:, features:]], dim=1)

    def _split(self, tokens: Tensor) -> list[Tensor]:
        return list(torch.split(self.layout.unfold(tokens), list(self.layout.channels), dim=1))


def window_means(cells: Tensor, window: int) -> Tensor:
    """Means over a square window around each cell, of what of it lies in the image.

    Args:
        cells: B×C×h×w.
        window: its side, odd.
    """
    half = window // 2
    rows = F.avg_pool2d(cells, (window, 1), stride=1, padding=(half, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, window), stride=1, padding=(0, half), count_include_pad=False)


def _projected(cells: Tensor, projection: Tensor) -> Tensor:
    """B×C×h×w and C×D → B×D×h×w."""
    return (projection.T @ cells.flatten(2)).reshape(cells.shape[0], -1, *cells.shape[-2:])
