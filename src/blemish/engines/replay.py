"""Kernels that a GPU replays as one graph: small batches take as long as launching them one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Lock

import torch
from torch import Tensor

_SEEN = 3  # calls with a shape before it is worth a graph
_MOST = 8  # graphs, of which each keeps memory for its batch

Answers = tuple[Tensor, ...]


class Replayed:
    """A function of tensors on a GPU; shapes that come again are recorded once and replayed from then on.

    Args:
        function: always the same kernels for the same shapes; it never waits for the GPU and changes no input.
    """

    def __init__(self, function: Callable[..., Answers]) -> None:
        self._function = function
        self._seen: Counter[tuple[torch.Size, ...]] = Counter()
        self._graphs: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, Answers, Answers]] = {}
        self._lock = Lock()

    def __call__(self, *inputs: Tensor) -> Answers:
        """What the function answers, in tensors of its own."""
        shapes = tuple(one.shape for one in inputs)
        with self._lock:
            self._seen[shapes] += 1
            if shapes not in self._graphs:
                if self._seen[shapes] <= _SEEN or len(self._graphs) == _MOST:
                    return self._function(*inputs)
                self._graphs[shapes] = self._recorded(inputs)
            graph, places, answers = self._graphs[shapes]
            for place, one in zip(places, inputs, strict=True):
                place.copy_(one)
            graph.replay()
            return tuple(answer.clone() for answer in answers)

    def _recorded(self, inputs: Answers) -> tuple[torch.cuda.CUDAGraph, Answers, Answers]:
        places = tuple(one.clone() for one in inputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            answers = self._function(*places)
        return graph, places, answers
