"""OneNIP: reconstruct an image's features under the guidance of one normal image of the same product."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blemish.backbones.layout import FeatureLayout
from blemish.config import DecoderName
from blemish.models.dropout import Dropout
from blemish.models.reference import read_onenip
from blemish.models.refiner import Refiner
from blemish.models.transformer import (
    Attention,
    Encoder,
    FeedForward,
    PositionEmbedding,
    initialise,
    neighbour_mask,
)
from blemish.models.uniad import LearnedQueryDecoder, Reconstruction, error_map, upsample


class BidirectionalLayer(nn.Module):
    """Prompt attends to target, prompt through the MLP, target attends to prompt (OneNIP §3.2, eq. 3–5)."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.prompt_to_target = Attention(width, heads, dropout)
        self.target_to_prompt = Attention(width, heads, dropout)
        self.mlp = FeedForward(width, feedforward)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, prompt: Tensor, target: Tensor, position: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        attended = self.prompt_to_target(prompt + position, target + position, target, mask)
        prompt = self.norm1(prompt + self.dropout(attended))
        prompt = self.norm2(prompt + self.dropout(self.mlp(prompt)))
        attended = self.target_to_prompt(target + position, prompt + position, prompt, mask)
        return prompt, self.norm3(target + self.dropout(attended))


class BidirectionalDecoder(nn.Module):
    """OneNIP's `dynamic` decoder: both streams updated in turn, then one unmasked attention to the target."""

    def __init__(self, layers: int, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BidirectionalLayer(width, heads, feedforward, dropout) for _ in range(layers))
        self.final_attention = Attention(width, heads, dropout)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, target: Tensor, prompt: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """B×N×D encoded query and encoded prompt → B×N×D."""
        for layer in self.layers:
            prompt, target = layer(prompt, target, position, mask)
        attended = self.final_attention(prompt + position, target + position, target)
        return self.norm(prompt + self.dropout(attended))  # type: ignore[no-any-return]


class OneNIP(nn.Module):
    """Reconstruction under a prompt, with a refiner on the error.

    Args:
        channels: C of the features.
        grid: h, w of the features.
        width, heads, encoder_layers, decoder_layers, feedforward, dropout: the transformer.
        neighbour_window: odd size of the masked neighbourhood (h // 2 in the release); 0 masks nothing.
        stride: pixels a token covers on each axis; maps are stride·h × stride·w.
        decoder: `dynamic` (the paper's), `static` (UniAD's with the prompt as query), `uniad` (no prompt), all Tab. 4;
            `none`: the prompt itself is the reconstruction.
        adds_to_prompt: the reconstruction is the prompt's features plus the network's output, which starts at 0.
        error_smoothing: cells per axis over which the signed error is averaged before its norm; 1: not (the paper).
        refiner: whether there is a refiner.
        refiner_channels: its inner channels.
        refiner_bottleneck: channels of a 1×1 convolution in front of it; 0: none (the paper).
        refiner_sees_features: its input is the error and the query's features, not the error alone.
        layout: how tokens unfold into cells for error map and refiner, and how the error map weighs their channels;
            None: one cell per token, all weights 1 (the paper).
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
        decoder: DecoderName = "dynamic",
        refiner: bool = True,
        refiner_channels: int = 128,
        refiner_bottleneck: int = 0,
        refiner_sees_features: bool = False,
        layout: FeatureLayout | None = None,
        adds_to_prompt: bool = False,
        error_smoothing: int = 1,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.layout = layout
        self.adds_to_prompt = adds_to_prompt
        self.error_smoothing = error_smoothing
        self.refiner_sees_features = refiner_sees_features
        weights = torch.ones(channels) if layout is None else layout.cell_weights()
        self.register_buffer("error_weights", weights.view(1, -1, 1, 1), persistent=False)
        self.stride = stride
        self.prompted = decoder != "uniad"
        self.transforms = decoder != "none"
        if self.transforms:
            self.input_proj = nn.Linear(channels, width)
            self.output_proj = nn.Linear(width, channels)
            self.position = PositionEmbedding(grid, width)
            self.encoder = Encoder(encoder_layers, width, heads, feedforward, dropout)
            self.decoder: BidirectionalDecoder | LearnedQueryDecoder
            if decoder == "dynamic":
                self.decoder = BidirectionalDecoder(decoder_layers, width, heads, feedforward, dropout)
            else:
                tokens = grid[0] * grid[1]
                self.decoder = LearnedQueryDecoder(
                    decoder_layers, tokens, width, heads, feedforward, dropout, learned=decoder == "uniad"
                )
            self.register_buffer("mask", neighbour_mask(grid, neighbour_window), persistent=False)
        cells = channels if layout is None else layout.cell_channels
        detail = 1 if layout is None else layout.detail
        self.refiner = (
            Refiner(cells * (1 + refiner_sees_features), refiner_channels, refiner_bottleneck, detail)
            if refiner
            else None
        )
        initialise(self)
        if self.transforms and adds_to_prompt:
            nn.init.zeros_(self.output_proj.weight)

    def encode(self, features: Tensor) -> Tensor:
        """B×C×h×w features → B×N×D tokens; the same for queries and prompts, so prompts can be encoded once."""
        tokens = self.input_proj(features.flatten(2).transpose(1, 2))
        return self.encoder(tokens, self.position(), self.get_buffer("mask"))  # type: ignore[no-any-return]

    def decode(self, query: Tensor, prompt: Tensor) -> Tensor:
        """B×N×D encoded query and encoded prompt → reconstruction B×C×h×w."""
        out = self.decoder(query, prompt, self.position(), self.get_buffer("mask"))
        return self.output_proj(out).transpose(1, 2).unflatten(2, self.grid)  # type: ignore[no-any-return]

    def reconstruct(self, query: Tensor, prompt: Tensor) -> Tensor:
        """B×C×h×w query and prompt features → reconstruction B×C×h×w."""
        if not self.transforms:
            return prompt
        added = self.decode(self.encode(query), self.encode(prompt))
        return prompt + added if self.adds_to_prompt else added

    def unfold(self, tokens: Tensor) -> Tensor:
        """Tokens B×C×h×w → cells, B×C'×(detail·h)×(detail·w)."""
        return tokens if self.layout is None else self.layout.unfold(tokens)

    def refine(self, query: Tensor, reconstruction: Tensor) -> Tensor:
        """The refiner's logits at a quarter of the input size, B×1×(stride·h/4)×(stride·w/4)."""
        assert self.refiner is not None
        error = (query - reconstruction).abs()
        return self.refiner(error, query) if self.refiner_sees_features else self.refiner(error)  # type: ignore[no-any-return]

    def maps(self, query: Tensor, reconstruction: Tensor) -> Reconstruction:
        """Both maps at input size."""
        size = (query.shape[-2] * self.stride, query.shape[-1] * self.stride)
        error = self.unfold(query - reconstruction) * self.get_buffer("error_weights")
        if self.error_smoothing > 1:
            error = F.avg_pool2d(error, self.error_smoothing, stride=1, padding=self.error_smoothing // 2)
        return Reconstruction(
            reconstruction,
            error_map(error, size),
            None if self.refiner is None else upsample(self.refine(query, reconstruction), size).sigmoid(),
        )

    def forward(self, query: Tensor, prompt: Tensor) -> Reconstruction:
        """Features of the images to inspect and of their prompts, both B×C×h×w."""
        return self.maps(query, self.reconstruct(query, prompt))

    @torch.no_grad()
    def start_from_principal_components(self, features: Tensor) -> None:
        """Set both projections so that a token passes through its `width` first principal components.

        Args:
            features: B×C×h×w training features, standardised.
        """
        rows = features.permute(0, 2, 3, 1).flatten(0, 2).double()
        values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
        width = min(self.input_proj.out_features, len(values))
        scale = values[-width:].clamp(min=1e-8).sqrt()
        vectors = vectors[:, -width:]
        self.input_proj.weight[:width] = (vectors / scale).T.to(self.input_proj.weight)
        if not self.adds_to_prompt:
            self.output_proj.weight[:, :width] = (vectors * scale).to(self.output_proj.weight)

    @classmethod
    def from_reference_state_dict(cls, state: dict[str, Tensor], heads: int = 8, neighbour_window: int = 7) -> OneNIP:
        """Build the network that a state dict of the authors' release describes, and load it.

        Layer counts, channels, width and grid come from the shapes; keys may carry `module.` and
        `reconstruction.` prefixes.

        Raises:
            ModelError: a key is missing or unknown.
        """
        sizes, weights = read_onenip(state)
        model = cls(**sizes, heads=heads, neighbour_window=neighbour_window)
        model.load_state_dict(weights)
        return model.eval()
