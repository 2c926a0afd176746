"""Single images from many clients, inspected together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from blemish.inspection import Failure, Inspection
from blemish.inspector import Inspector

Result = Inspection | Failure


class BusyError(Exception):
    """As many images wait as may wait."""


@dataclass(frozen=True)
class Answer:
    """What was found, and the model that found it, with its id."""

    result: Result
    model: str
    inspector: Inspector


@dataclass
class _Job:
    content: bytes
    product: str | None
    answer: asyncio.Future[Answer]


class Batcher:
    """A bounded queue in front of one model. While a batch is inspected the next one gathers.

    Args:
        inspector: the model.
        model: its id.
        batch: images at a time.
        waiting: images that may wait beside those.
    """

    def __init__(self, inspector: Inspector, model: str, *, batch: int = 16, waiting: int = 256) -> None:
        self._inspector, self._model, self._batch = inspector, model, batch
        self._queue: asyncio.Queue[_Job | None] = asyncio.Queue(waiting)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="inspect")
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return self._queue.qsize()

    def start(self) -> None:
        """Begin to work, on the running event loop."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Accept no more images, and end when all that were accepted are answered."""
        self._stopping = True
        await self._queue.put(None)
        if self._task is not None:
            await self._task
        self._pool.shutdown()

    def replace(self, inspector: Inspector, model: str) -> None:
        """Inspect with another model from the next batch on."""
        self._inspector, self._model = inspector, model

    async def inspect(self, contents: Sequence[bytes], product: str | None = None) -> list[Answer]:
        """What is found in images, in their order. When the caller is cancelled, those that still wait are dropped.

        Raises:
            BusyError: not all of them may wait; then none does.
            ConfigError: the model knows no such product.
        """
        if product is not None:
            self._inspector.index(product)
        if self._stopping or self._queue.qsize() + len(contents) > self._queue.maxsize:
            raise BusyError
        loop = asyncio.get_running_loop()
        jobs = [_Job(content, product, loop.create_future()) for content in contents]
        for job in jobs:
            self._queue.put_nowait(job)
        return list(await asyncio.gather(*(job.answer for job in jobs)))

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while (first := await self._queue.get()) is not None:
            jobs, last = [first], False
            with suppress(asyncio.QueueEmpty):
                while len(jobs) < self._batch and not last:
                    job = self._queue.get_nowait()
                    last = job is None
                    jobs += [] if job is None else [job]
            wanted = [job for job in jobs if not job.answer.done()]
            inspector, model = self._inspector, self._model
            try:
                results = await loop.run_in_executor(self._pool, _inspected, inspector, wanted)
            except Exception as error:  # whatever went wrong is the answer; the next batch is none the worse
                for job in wanted:
                    if not job.answer.done():
                        job.answer.set_exception(error)
                results = []
            for job, result in zip(wanted, results, strict=False):
                if not job.answer.done():
                    job.answer.set_result(Answer(result, model, inspector))
            if last:
                return


def _inspected(inspector: Inspector, jobs: Sequence[_Job]) -> list[Result]:
    """Results in order; images of one product together."""
    results: dict[int, Result] = {}
    for product in dict.fromkeys(job.product for job in jobs):
        rows = [row for row, job in enumerate(jobs) if job.product == product]
        found = inspector.inspect_many([jobs[row].content for row in rows], product=product)
        results.update(zip(rows, found, strict=True))
    return [results[row] for row in range(len(jobs))]
