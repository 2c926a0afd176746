"""Attention as two Triton kernels, forward and backward: the largest part of a training step on a GPU.

Made for the short sequences of a grid of features and narrow heads. The backward pass keeps all of a head's gradients
of its queries in registers, so that weights are computed once for all three gradients and nothing is added up in
memory: the same input and seed give the same numbers every time. Whether dropout drops a weight is a hash of a seed and
of the weight's place, so that no mask is stored. Import it only where Triton is installed; the tensors are on a GPU.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

_WIDTHS = (16, 32, 64)
_TYPES = (torch.bfloat16, torch.float16)
_BLOCK = 64  # queries of a program; the backward pass holds four times as many
_CHUNK, _CHUNK_BACKWARD = 32, 64  # keys that they meet at once
_LOG2_E = 1.4426950408889634


@triton.jit
def _mixed(x):  # type: ignore[no-untyped-def]
    """A well-mixed uint32 (the finaliser of MurmurHash3)."""
    x ^= x >> 16
    x *= 0x85EBCA6B
    x ^= x >> 13
    x *= 0xC2B2AE35
    return x ^ (x >> 16)


@triton.jit
def _row_keys(seed, head, rows, queries: tl.constexpr):  # type: ignore[no-untyped-def]
    return _mixed((head * queries + rows).to(tl.uint32) + tl.load(seed).to(tl.uint32)) | 1


@triton.jit
def _column_keys(columns):  # type: ignore[no-untyped-def]
    return _mixed(columns.to(tl.uint32) + 0x9E3779B9)


@triton.jit
def _kept(row_keys, column_keys, threshold):  # type: ignore[no-untyped-def]
    """Which weights dropout keeps: their hash, a product modulo 2³² with an odd factor, reaches the threshold."""
    return row_keys * column_keys >= threshold.to(tl.uint32)


@triton.jit
def _first(head, tokens: tl.constexpr, heads: tl.constexpr, width: tl.constexpr):  # type: ignore[no-untyped-def]
    """Where the first of a head's tokens lies; heads are counted through all images."""
    return (head // heads).to(tl.int64) * tokens * heads * width + head % heads * width


@triton.jit
def _forward(q, k, v, limits, out, lse, seed, scale, threshold, gain,  # type: ignore[no-untyped-def]
             queries: tl.constexpr, keys: tl.constexpr, heads: tl.constexpr, width: tl.constexpr, block: tl.constexpr,
             chunk: tl.constexpr, first: tl.constexpr, span: tl.constexpr, drops: tl.constexpr):  # fmt: skip
    """Answers for the queries from `first` on."""
    head = tl.program_id(1)
    step: tl.constexpr = heads * width
    first_query, first_key = _first(head, queries, heads, width), _first(head, keys, heads, width)
    inner = tl.arange(0, width)
    rows = first + tl.program_id(0) * block + tl.arange(0, block)
    own = first_query + rows[:, None] * step + inner[None, :]
    is_row = rows[:, None] < queries
    q_rows = tl.load(q + own, mask=is_row, other=0.0)
    row_keys = _row_keys(seed, head, rows, queries)
    largest = tl.full((block,), float("-inf"), tl.float32)
    total = tl.zeros((block,), tl.float32)
    answer = tl.zeros((block, width), tl.float32)
    for start in range(0, keys, chunk):
        columns = start + tl.arange(0, chunk)
        other = first_key + columns[:, None] * step + inner[None, :]
        is_column = columns[:, None] < keys
        k_rows = tl.load(k + other, mask=is_column, other=0.0)
        v_rows = tl.load(v + other, mask=is_column, other=0.0)
        limit = tl.load(limits + rows[:, None] * span + columns[None, :])
        logits = tl.dot(q_rows, tl.trans(k_rows)) * scale + limit
        larger = tl.maximum(largest, tl.max(logits, axis=1))
        level = tl.where(larger == float("-inf"), 0.0, larger)  # nothing seen so far
        weights = tl.exp2(logits - level[:, None])
        shrink = tl.exp2(largest - level)
        total = total * shrink + tl.sum(weights, axis=1)
        if drops:
            kept = _kept(row_keys[:, None], _column_keys(columns)[None, :], threshold)
            weights = tl.where(kept, weights, 0.0)
        answer = answer * shrink[:, None] + tl.dot(weights.to(v_rows.dtype), v_rows)
        largest = larger
    tl.store(out + own, (answer * (gain / total)[:, None]).to(out.dtype.element_ty), mask=is_row)
    tl.store(lse + head * queries + rows, largest + tl.log2(total), mask=rows < queries)


@triton.jit
def _queries(q, out, d_out, lse, seed, first, head, start,  # type: ignore[no-untyped-def]
             queries: tl.constexpr, step: tl.constexpr, width: tl.constexpr, block: tl.constexpr):  # fmt: skip
    """What the backward pass needs of a block of queries: themselves, the gradients that reach their answers, the
    logarithm of their softmax's sum, the mean of the weights' gradients, and the rows' part of the hash."""
    rows = start + tl.arange(0, block)
    own = first + rows[:, None] * step + tl.arange(0, width)[None, :]
    is_row = rows[:, None] < queries
    d_rows = tl.load(d_out + own, mask=is_row, other=0.0)
    out_rows = tl.load(out + own, mask=is_row, other=0.0)
    level = tl.load(lse + head * queries + rows, mask=rows < queries, other=0.0)
    meant = tl.sum(d_rows.to(tl.float32) * out_rows.to(tl.float32), axis=1)
    return tl.load(q + own, mask=is_row, other=0.0), d_rows, level, meant, _row_keys(seed, head, rows, queries)


@triton.jit
def _pair(of_rows, d_q, k_rows, v_rows, d_k, d_v, limits, column_keys,  # type: ignore[no-untyped-def]
          scale, threshold, gain, drops: tl.constexpr):  # fmt: skip
    """Adds what a block of queries and a chunk of keys contribute to the gradients, but for constant factors."""
    q_rows, d_rows, level, meant, row_keys = of_rows
    logits = tl.dot(q_rows, tl.trans(k_rows)) * scale + tl.load(limits)
    weights = tl.exp2(logits - level[:, None])
    upstream = tl.dot(d_rows, tl.trans(v_rows))
    used = weights
    if drops:
        kept = _kept(row_keys[:, None], column_keys[None, :], threshold)
        used = tl.where(kept, used, 0.0)
        upstream = tl.where(kept, upstream, 0.0)
    d_v += tl.dot(tl.trans(used.to(d_rows.dtype)), d_rows)
    d_logits = (weights * (upstream * gain - meant[:, None])).to(q_rows.dtype)
    d_k += tl.dot(tl.trans(d_logits), q_rows)
    d_q += tl.dot(d_logits, k_rows)
    return d_q, d_k, d_v


@triton.jit
def _chunk(k, v, d_k, d_v, limits, start, rows_0, rows_1, rows_2, rows_3, d_0, d_1, d_2, d_3,  # type: ignore[no-untyped-def]
           first_key, scale, plain_scale, threshold, gain, queries: tl.constexpr, keys: tl.constexpr,
           step: tl.constexpr, width: tl.constexpr, block: tl.constexpr, last: tl.constexpr, chunk: tl.constexpr,
           span: tl.constexpr, drops: tl.constexpr):  # fmt: skip
    """All queries meet some keys, whose gradients are then complete."""
    columns = start + tl.arange(0, chunk)
    other = first_key + columns[:, None] * step + tl.arange(0, width)[None, :]
    is_column = columns[:, None] < keys
    k_rows = tl.load(k + other, mask=is_column, other=0.0)
    v_rows = tl.load(v + other, mask=is_column, other=0.0)
    own = _column_keys(columns)
    k_sum = tl.zeros((chunk, width), tl.float32)
    v_sum = tl.zeros((chunk, width), tl.float32)
    near = limits + tl.arange(0, block)[:, None] * span + columns[None, :]
    near_last = limits + tl.arange(0, last)[:, None] * span + columns[None, :]
    below: tl.constexpr = block * span
    if queries > block:
        d_1, k_sum, v_sum = _pair(rows_1, d_1, k_rows, v_rows, k_sum, v_sum, near, own, scale, threshold, gain, drops)
    if queries > 2 * block:
        d_2, k_sum, v_sum = _pair(
            rows_2, d_2, k_rows, v_rows, k_sum, v_sum, near + below, own, scale, threshold, gain, drops
        )
    if queries > 3 * block:
        d_3, k_sum, v_sum = _pair(
            rows_3, d_3, k_rows, v_rows, k_sum, v_sum, near + 2 * below, own, scale, threshold, gain, drops
        )
    d_0, k_sum, v_sum = _pair(
        rows_0, d_0, k_rows, v_rows, k_sum, v_sum, near_last + (queries - 1) // block * below, own, scale, threshold,
        gain, drops,
    )  # fmt: skip
    tl.store(d_k + other, (k_sum * plain_scale).to(d_k.dtype.element_ty), mask=is_column)
    tl.store(d_v + other, (v_sum * gain).to(d_v.dtype.element_ty), mask=is_column)
    return d_0, d_1, d_2, d_3


@triton.jit
def _backward(q, k, v, limits, out, lse, seed, d_out, d_q, d_k, d_v,  # type: ignore[no-untyped-def]
              scale, plain_scale, threshold, gain, queries: tl.constexpr, keys: tl.constexpr, heads: tl.constexpr,
              width: tl.constexpr, block: tl.constexpr, last: tl.constexpr, chunk: tl.constexpr,
              last_chunk: tl.constexpr, span: tl.constexpr, drops: tl.constexpr):  # fmt: skip
    """All gradients of a head. Block 0 has the `last` queries, those before stand in blocks 1 to 3."""
    head = tl.program_id(0)
    step: tl.constexpr = heads * width
    first_query, first_key = _first(head, queries, heads, width), _first(head, keys, heads, width)
    before: tl.constexpr = (queries - 1) // block * block
    rows_0 = _queries(q, out, d_out, lse, seed, first_query, head, before, queries, step, width, last)
    d_0 = tl.zeros((last, width), tl.float32)
    rows_1, rows_2, rows_3 = rows_0, rows_0, rows_0
    d_1, d_2, d_3 = d_0, d_0, d_0
    if queries > block:
        rows_1 = _queries(q, out, d_out, lse, seed, first_query, head, 0, queries, step, width, block)
        d_1 = tl.zeros((block, width), tl.float32)
    if queries > 2 * block:
        rows_2 = _queries(q, out, d_out, lse, seed, first_query, head, block, queries, step, width, block)
        d_2 = tl.zeros((block, width), tl.float32)
    if queries > 3 * block:
        rows_3 = _queries(q, out, d_out, lse, seed, first_query, head, 2 * block, queries, step, width, block)
        d_3 = tl.zeros((block, width), tl.float32)
    whole: tl.constexpr = (keys - 1) // chunk * chunk
    for start in range(0, whole, chunk):
        d_0, d_1, d_2, d_3 = _chunk(
            k, v, d_k, d_v, limits, start, rows_0, rows_1, rows_2, rows_3, d_0, d_1, d_2, d_3, first_key, scale,
            plain_scale, threshold, gain, queries, keys, step, width, block, last, chunk, span, drops,
        )  # fmt: skip
    d_0, d_1, d_2, d_3 = _chunk(
        k, v, d_k, d_v, limits, whole, rows_0, rows_1, rows_2, rows_3, d_0, d_1, d_2, d_3, first_key, scale,
        plain_scale, threshold, gain, queries, keys, step, width, block, last, last_chunk, span, drops,
    )  # fmt: skip
    inner = tl.arange(0, width)
    rows = before + tl.arange(0, last)
    there = d_q + first_query + rows[:, None] * step + inner[None, :]
    tl.store(there, (d_0 * plain_scale).to(d_q.dtype.element_ty), mask=rows[:, None] < queries)
    there = d_q + first_query + tl.arange(0, block)[:, None] * step + inner[None, :]
    if queries > block:
        tl.store(there, (d_1 * plain_scale).to(d_q.dtype.element_ty))
    if queries > 2 * block:
        tl.store(there + block * step, (d_2 * plain_scale).to(d_q.dtype.element_ty))
    if queries > 3 * block:
        tl.store(there + 2 * block * step, (d_3 * plain_scale).to(d_q.dtype.element_ty))


@torch.library.custom_op("blemish::attention", mutates_args=())
def _attention(
    q: Tensor, k: Tensor, v: Tensor, limits: Tensor, seed: Tensor, dropout: float, heads: int
) -> tuple[Tensor, Tensor]:
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    out = torch.empty_like(q)
    lse = torch.empty(len(q) * heads, q.shape[1], dtype=torch.float32, device=q.device)
    scale, _, threshold, gain = _numbers(q, dropout, heads)
    given = (q, k, v, limits, out, lse, seed, scale, threshold, gain)
    sizes = _sizes(q, k, limits, dropout, heads)
    whole = q.shape[1] // _BLOCK
    if whole:
        _forward[whole, len(q) * heads](*given, block=_BLOCK, chunk=_CHUNK, first=0, num_stages=2, **sizes)
    if left := q.shape[1] % _BLOCK:
        block = _power(left)
        _forward[1, len(q) * heads](
            *given, block=block, chunk=_CHUNK, first=whole * _BLOCK, num_warps=max(1, block // 16), **sizes
        )
    return out, lse


@torch.library.custom_op("blemish::attention_backward", mutates_args=())
def _attention_backward(
    q: Tensor, k: Tensor, v: Tensor, limits: Tensor, out: Tensor, lse: Tensor, seed: Tensor, d_out: Tensor,
    dropout: float, heads: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    q, k, v, d_out = q.contiguous(), k.contiguous(), v.contiguous(), d_out.contiguous()
    gradients = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    _backward[(len(q) * heads,)](
        q, k, v, limits, out, lse, seed, d_out, *gradients, *_numbers(q, dropout, heads), block=_BLOCK,
        last=_power((q.shape[1] - 1) % _BLOCK + 1), chunk=_CHUNK_BACKWARD,
        last_chunk=_power((k.shape[1] - 1) % _CHUNK_BACKWARD + 1), num_stages=1,
        **_sizes(q, k, limits, dropout, heads),
    )  # fmt: skip
    return gradients


def _power(count: int) -> int:
    """The smallest power of 2 that holds so many rows and that a product on tensor cores can have."""
    return max(16, triton.next_power_of_2(count))  # type: ignore[no-any-return]


def _numbers(q: Tensor, dropout: float, heads: int) -> tuple[float, float, int, float]:
    """Scale of the logits in base 2 and as they are, the hash from which on a weight is kept, and its factor then."""
    scale = (q.shape[2] // heads) ** -0.5
    return _LOG2_E * scale, scale, min(round(dropout * 2**32), 2**32 - 1), 1 / (1 - dropout)


def _sizes(q: Tensor, k: Tensor, limits: Tensor, dropout: float, heads: int) -> dict[str, Any]:
    return {
        "queries": q.shape[1],
        "keys": k.shape[1],
        "heads": heads,
        "width": q.shape[2] // heads,
        "span": limits.shape[1],
        "drops": dropout > 0,
    }


@_attention.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, limits: Tensor, seed: Tensor, dropout: float, heads: int) -> Any:
    return q.new_empty(q.shape), q.new_empty(q.shape[0] * heads, q.shape[1], dtype=torch.float32)


@_attention_backward.register_fake
def _(
    q: Tensor, k: Tensor, v: Tensor, limits: Tensor, out: Tensor, lse: Tensor, seed: Tensor, d_out: Tensor,
    dropout: float, heads: int,
) -> Any:  # fmt: skip
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, limits, seed, ctx.dropout, ctx.heads = inputs
    ctx.save_for_backward(q, k, v, limits, seed, *output)


def _differentiate(ctx: Any, d_out: Tensor, _: Tensor) -> Any:
    q, k, v, limits, seed, out, lse = ctx.saved_tensors
    gradients = _attention_backward(q, k, v, limits, out, lse, seed, d_out, ctx.dropout, ctx.heads)
    return *gradients, None, None, None, None


_attention.register_autograd(_differentiate, setup_context=_save)


def suits(q: Tensor, k: Tensor, heads: int) -> bool:
    """Whether `attention` can take these, B×N×D and B×M×D."""
    known = q.dtype == k.dtype and q.dtype in _TYPES and q.shape[2] // heads in _WIDTHS
    return known and q.is_cuda and q.shape[1] <= 4 * _BLOCK


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float, heads: int) -> Tensor:
    """softmax(q·kᵀ / √d + mask)·v per head, with dropout on the weights; repeatable by torch's seed.

    Args:
        q, k, v: B×N×D and twice B×M×D on a GPU, of one 16-bit type; D / `heads` is 16, 32 or 64, and N ≤ 256.
        mask: N×M, added to the logits; None: nothing. No row may be all −inf.
        dropout: probability that a weight becomes 0, in [0, 1).
        heads: number of heads; head h has the channels from h·d on.

    Returns:
        B×N×D.
    """
    queries, keys = q.shape[1], k.shape[1]
    added = q.new_zeros(queries, keys) if mask is None else mask * _LOG2_E
    beyond = (0, -keys % _CHUNK_BACKWARD, 0, -queries % _BLOCK)  # so that a block never ends outside
    limits = F.pad(added.to(q.dtype), beyond, value=float("-inf"))
    seed = torch.randint(2**31, (1,), device=q.device)
    return _attention(q, k, v, limits, seed, dropout, heads)[0]  # type: ignore[no-any-return]
