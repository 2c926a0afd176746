"""UniAD: one reconstruction transformer with layer-wise learned queries; OneNIP's baseline and ablation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blemish.models.dropout import Dropout
from blemish.models.reference import read_uniad
from blemish.models.transformer import (
    Attention,
    Encoder,
    FeedForward,
    PositionEmbedding,
    initialise,
    neighbour_mask,
)


@dataclass(frozen=True)
class Reconstruction:
    """What a reconstruction model answers for a batch.

    Attributes:
        reconstruction: B×C×h×w, what the features would be without a defect.
        reconstruction_map: B×1×(stride·h)×(stride·w), (weighted) L2 error over channels, upsampled; ≥ 0.
        refiner_map: B×1×(stride·h)×(stride·w), the refiner's defect probability in [0, 1]; None without a refiner.
    """

    reconstruction: Tensor
    reconstruction_map: Tensor
    refiner_map: Tensor | None = None


def error_map(error: Tensor, size: tuple[int, int]) -> Tensor:
    """B×C×h×w reconstruction error → its L2 norm over channels, upsampled: B×1×`size`."""
    return upsample(error.norm(dim=1, keepdim=True), size)


def upsample(x: Tensor, size: tuple[int, int]) -> Tensor:
    """B×C×h×w → B×C×`size`, bilinear with align_corners=True as everywhere in these networks."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


class LearnedQueryLayer(nn.Module):
    """UniAD's decoder layer. With a `query` given (OneNIP's `static` ablation) it replaces the learned one."""

    def __init__(self, tokens: int, width: int, heads: int, feedforward: int, dropout: float, learned: bool) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(tokens, width)) if learned else None
        self.attend_encoded = Attention(width, heads, dropout)
        self.attend_previous = Attention(width, heads, dropout)
        self.mlp = FeedForward(width, feedforward, dropout)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(
        self, previous: Tensor, encoded: Tensor, query: Tensor | None, position: Tensor, mask: Tensor
    ) -> Tensor:
        start = self.query if self.query is not None else query
        assert start is not None
        start = start.expand(encoded.shape[0], -1, -1)
        attended = self.attend_encoded(start + position, encoded + position, encoded, mask)
        x = self.norm1(start + self.dropout(attended))
        x = self.norm2(x + self.dropout(self.attend_previous(x + position, previous + position, previous, mask)))
        return self.norm3(x + self.dropout(self.mlp(x)))  # type: ignore[no-any-return]


class LearnedQueryDecoder(nn.Module):
    """Layers of `LearnedQueryLayer` and a final norm (UniAD §3.2)."""

    def __init__(
        self, layers: int, tokens: int, width: int, heads: int, feedforward: int, dropout: float, learned: bool = True
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            LearnedQueryLayer(tokens, width, heads, feedforward, dropout, learned) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, encoded: Tensor, query: Tensor | None, position: Tensor, mask: Tensor) -> Tensor:
        out = encoded
        for layer in self.layers:
            out = layer(out, encoded, query, position, mask)
        return self.norm(out)  # type: ignore[no-any-return]


class UniAD(nn.Module):
    """Reconstructs B×C×h×w features from themselves through neighbour-masked attention.

    Args:
        channels: C of the features.
        grid: h, w of the features.
        width, heads, encoder_layers, decoder_layers, feedforward, dropout: the transformer.
        neighbour_window: odd size of the masked neighbourhood; 0 masks nothing.
        stride: pixels a token covers on each axis; maps are stride·h × stride·w.
    """

    def __init__(
        self,
        channels: int,
        grid: tuple[int, int] = (14, 14),
        width: int = 256,
        heads: int = 8,
        encoder_layers: int = 4,
        decoder_layers: int = 4,
        feedforward: int = 1024,
        dropout: float = 0.1,
        neighbour_window: int = 7,
        stride: int = 16,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.stride = stride
        self.input_proj = nn.Linear(channels, width)
        self.output_proj = nn.Linear(width, channels)
        self.position = PositionEmbedding(grid, width)
        self.encoder = Encoder(encoder_layers, width, heads, feedforward, dropout)
        self.decoder = LearnedQueryDecoder(decoder_layers, grid[0] * grid[1], width, heads, feedforward, dropout)
        self.register_buffer("mask", neighbour_mask(grid, neighbour_window), persistent=False)
        initialise(self)

    def reconstruct(self, query: Tensor) -> Tensor:
        """B×C×h×w → B×C×h×w."""
        position = self.position()
        mask = self.get_buffer("mask")
        encoded = self.encoder(self.input_proj(query.flatten(2).transpose(1, 2)), position, mask)
        out = self.output_proj(self.decoder(encoded, None, position, mask))
        return out.transpose(1, 2).unflatten(2, self.grid)  # type: ignore[no-any-return]

    def forward(self, query: Tensor) -> Reconstruction:
        """B×C×h×w features of the images to inspect; `refiner_map` is None."""
        reconstruction = self.reconstruct(query)
        size = (query.shape[-2] * self.stride, query.shape[-1] * self.stride)
        return Reconstruction(reconstruction, error_map(query - reconstruction, size))

    @classmethod
    def from_reference_state_dict(cls, state: dict[str, Tensor], heads: int = 8, neighbour_window: int = 7) -> UniAD:
        """Build the network that a state dict of the authors' release describes, and load it.

        Layer counts, channels, width and grid come from the shapes; keys may carry `module.` and
        `reconstruction.` prefixes.

        Raises:
            ModelError: a key is missing or unknown.
        """
        sizes, weights = read_uniad(state)
        model = cls(**sizes, heads=heads, neighbour_window=neighbour_window)
        model.load_state_dict(weights)
        return model.eval()
