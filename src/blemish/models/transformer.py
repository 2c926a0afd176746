"""Attention, position embedding, neighbour mask and encoder shared by OneNIP and UniAD.

Tokens are B×N×D with N = h·w in raster order; post-norm and ReLU throughout (OneNIP §3, UniAD §3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blemish.errors import ConfigError
from blemish.models.dropout import Dropout, dropped


class Attention(nn.Module):
    """Multi-head attention with separate sources for query, key and value.

    Args:
        width: token width D, divisible by `heads`.
        heads: number of heads.
        dropout: probability of dropping an attention weight, in [0, 1).

    Attributes:
        kernel: whether training on a GPU goes by our own kernel, where that suits; see `use_kernels`.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.kernel = False
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """B×N×D query and B×M×D key, value; `mask` N×M is added to the logits. Returns B×N×D."""
        batch, length, width = query.shape
        weights = self.in_proj_weight.chunk(3)
        biases = self.in_proj_bias.chunk(3)
        q, k, v = (F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))
        dropout = self.dropout if self.training else 0.0
        if self.kernel and self.training:
            from blemish.models.attention_kernel import attention, suits

            if suits(q, k, self.heads):
                return self.out_proj(attention(q, k, v, mask, dropout, self.heads))  # type: ignore[no-any-return]
        q, k, v = (x.view(batch, -1, self.heads, width // self.heads).transpose(1, 2) for x in (q, k, v))
        if q.is_cuda:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        else:
            out = _attended(q, k, v, mask, dropout)
        return self.out_proj(out.transpose(1, 2).reshape(batch, length, width))  # type: ignore[no-any-return]


def _attended(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Attention on a CPU, B×heads×N×d; the fused kernel's backward pass is slower than these products there.

    All of it is computed in the precision of the inputs: under autocast the softmax alone would take longer than the
    products, for the weights are by far the largest tensors and would be widened and narrowed again.
    """
    with torch.autocast("cpu", enabled=False):
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        weights = (logits if mask is None else logits + mask.to(logits.dtype)).softmax(-1)
        return dropped(weights, dropout) @ v


def use_kernels(module: nn.Module, use: bool = True) -> None:
    """Let every `Attention` in `module` train by our own kernel, or no longer. Raises ImportError without Triton."""
    if use:
        import blemish.models.attention_kernel  # noqa: F401
    for part in module.modules():
        if isinstance(part, Attention):
            part.kernel = use


class FeedForward(nn.Module):
    """Linear → ReLU → Linear, D → `hidden` → D, with dropout on the hidden units."""

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(F.relu(self.linear1(x))))  # type: ignore[no-any-return]


class PositionEmbedding(nn.Module):
    """Learned row and column tables of D/2 values each; a token's embedding is (column, row)."""

    def __init__(self, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.empty(grid[0], width // 2).uniform_())
        self.columns = nn.Parameter(torch.empty(grid[1], width // 2).uniform_())

    def forward(self) -> Tensor:
        """N×D."""
        height, width = len(self.rows), len(self.columns)
        columns = self.columns.unsqueeze(0).expand(height, -1, -1)
        rows = self.rows.unsqueeze(1).expand(-1, width, -1)
        return torch.cat([columns, rows], dim=-1).flatten(0, 1)


def neighbour_mask(grid: tuple[int, int], window: int) -> Tensor:
    """N×N additive mask: −inf where a token would see itself or a neighbour within ±(window // 2) on both axes.

    A window of 0 masks nothing. UniAD §3.2 (neighbour masked attention).
    """
    height, width = grid
    if window == 0:
        return torch.zeros(height * width, height * width)
    rows = torch.arange(height).repeat_interleave(width)
    columns = torch.arange(width).repeat(height)
    near = ((rows[:, None] - rows).abs() <= window // 2) & ((columns[:, None] - columns).abs() <= window // 2)
    if near.all(dim=1).any():
        raise ConfigError(
            f"A neighbour window of {window} leaves some tokens of a {height}×{width} grid nothing to see.",
            "Choose a smaller window.",
        )
    return torch.zeros(near.shape).masked_fill(near, float("-inf"))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, post-norm: q = k = x + position, v = x."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.mlp = FeedForward(width, feedforward, dropout)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        placed = x + position
        x = self.norm1(x + self.dropout(self.attention(placed, placed, x, mask)))
        return self.norm2(x + self.dropout(self.mlp(x)))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """A stack of `EncoderLayer`, without a final norm."""

    def __init__(self, layers: int, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(width, heads, feedforward, dropout) for _ in range(layers))

    def forward(self, x: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, position, mask)
        return x


def initialise(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases for every linear, convolution and transposed convolution (release)."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, Attention):
            nn.init.xavier_uniform_(part.in_proj_weight)
            nn.init.zeros_(part.in_proj_bias)
