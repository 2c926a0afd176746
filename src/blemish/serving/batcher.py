"""Single images from many clients, inspected together and kept together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from blemish.errors import ConfigError
from blemish.inspection import Failure, Inspection
from blemish.inspector import Inspector
from blemish.serving.records import Upload

Kept = TypeVar("Kept")
_T = TypeVar("_T")


class BusyError(Exception):
    """As many images wait as may wait."""


@dataclass(frozen=True)
class Found:
    """An image, what was found in it, and the model that found it, with its id."""

    upload: Upload
    result: Inspection
    model: str
    inspector: Inspector


@dataclass
class _Job(Generic[Kept]):
    upload: Upload
    product: str | None
    answer: asyncio.Future[Kept | Failure]


class Batcher(Generic[Kept]):
    """A bounded queue in front of one model.

    While a batch is inspected the next one gathers and the one before is kept. An image is answered when it is kept.

    Args:
        inspector: the model.
        model: its id.
        keep: puts what was found in a batch on the disk; its values are the answers.
        batch: images at a time.
        waiting: images that may wait beside those.
        most_bytes: of all files that wait; a request that finds nobody waiting may have more.
    """

    def __init__(
        self,
        inspector: Inspector,
        model: str,
        keep: Callable[[Sequence[Found]], Sequence[Kept]],
        *,
        batch: int = 16,
        waiting: int = 256,
        most_bytes: int = 1_000_000_000,
    ) -> None:
        self._inspector, self._model, self._keep, self._batch = inspector, model, keep, batch
        self._queue: asyncio.Queue[_Job[Kept] | None] = asyncio.Queue(waiting)
        self._inspecting = ThreadPoolExecutor(1, thread_name_prefix="inspect")
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="keep")
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._most_bytes, self._bytes = most_bytes, 0

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
        self._inspecting.shutdown()
        self._writing.shutdown()

    def replace(self, inspector: Inspector, model: str) -> None:
        """Inspect with another model from the next batch on."""
        self._inspector, self._model = inspector, model

    async def inspect(self, uploads: Sequence[Upload], product: str | None = None) -> list[Kept | Failure]:
        """What is found in images, in their order. When the caller is cancelled, those that still wait are dropped.

        Raises:
            BusyError: not all of them may wait; then none does.
            ConfigError: the model knows no such product.
        """
        if product is not None:
            self._inspector.index(product)
        size = sum(len(upload.content) for upload in uploads)
        if self._stopping or self._queue.qsize() + len(uploads) > self._queue.maxsize:
            raise BusyError
        if self._queue.qsize() and self._bytes + size > self._most_bytes:
            raise BusyError
        loop = asyncio.get_running_loop()
        jobs = [_Job[Kept](upload, product, loop.create_future()) for upload in uploads]
        for job in jobs:
            self._queue.put_nowait(job)
        self._bytes += size
        return list(await asyncio.gather(*(job.answer for job in jobs)))

    async def _work(self) -> None:
        keeping: asyncio.Task[None] | None = None
        last = False
        while not last:
            jobs, last = await self._gathered()
            inspector, model = self._inspector, self._model
            found = await self._attempt(self._inspecting, jobs, partial(_inspected, inspector, jobs))
            if keeping is not None:
                await keeping  # no more than one batch waits to be kept
            keeping = asyncio.create_task(self._kept(jobs, found, model, inspector))
        if keeping is not None:
            await keeping

    async def _gathered(self) -> tuple[list[_Job[Kept]], bool]:
        """The next batch without those who hung up, and whether it is the last one."""
        first = await self._queue.get()
        jobs = [first]
        with suppress(asyncio.QueueEmpty):
            while len(jobs) < self._batch and jobs[-1] is not None:
                jobs.append(self._queue.get_nowait())
        self._bytes -= sum(len(job.upload.content) for job in jobs if job is not None)
        return [job for job in jobs if job is not None and not job.answer.done()], jobs[-1] is None

    async def _kept(
        self,
        jobs: Sequence[_Job[Kept]],
        results: Sequence[Inspection | Failure | ConfigError],
        model: str,
        inspector: Inspector,
    ) -> None:
        """Keep what was found for those who still wait, and answer them."""
        good: list[_Job[Kept]] = []
        found: list[Found] = []
        for job, result in zip(jobs, results, strict=False):
            if isinstance(result, Failure):
                _answer(job, result)
            elif isinstance(result, ConfigError):
                _fail(job, result)
            elif not job.answer.done():
                good.append(job)
                found.append(Found(job.upload, result, model, inspector))
        for job, kept in zip(good, await self._attempt(self._writing, good, partial(self._keep, found)), strict=False):
            _answer(job, kept)

    async def _attempt(
        self, pool: ThreadPoolExecutor, jobs: Sequence[_Job[Kept]], work: Callable[[], _T]
    ) -> _T | tuple[()]:
        """Do something for some jobs. When it goes wrong that is their answer; the next batch is none the worse."""
        if not jobs:
            return ()
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except Exception as error:
            for job in jobs:
                _fail(job, error)
            return ()


def _answer(job: _Job[Kept], answer: Kept | Failure) -> None:
    if not job.answer.done():
        job.answer.set_result(answer)


def _fail(job: _Job[Kept], error: Exception) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)


def _inspected(inspector: Inspector, jobs: Sequence[_Job[Kept]]) -> list[Inspection | Failure | ConfigError]:
    """Results in order; images of one product together. The model may not know a product that an earlier one knew."""
    results: dict[int, Inspection | Failure | ConfigError] = {}
    for product in dict.fromkeys(job.product for job in jobs):
        rows = [row for row, job in enumerate(jobs) if job.product == product]
        try:
            found = list(inspector.inspect_many([jobs[row].upload.content for row in rows], product=product))
        except ConfigError as error:
            results.update(dict.fromkeys(rows, error))
        else:
            results.update(zip(rows, found, strict=True))
    return [results[row] for row in range(len(jobs))]
