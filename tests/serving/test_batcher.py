"""Images of many clients share batches; each gets its own answer, or is told that too many wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from blemish.engines.engine import Engine, EngineMaps
from blemish.errors import ConfigError, ImageError
from blemish.inspection import Failure, Inspection
from blemish.inspector import Inspector
from blemish.serving.batcher import Batcher, BusyError, Found
from blemish.serving.records import Upload
from blemish.serving.uploads import Limits, UploadError, checked

from .conftest import png

Draw = Callable[..., Path]


class Gate:
    """An engine that waits until it may go on, and notes how many images it got at a time."""

    def __init__(self, inner: Engine) -> None:
        self._inner = inner
        self.open = threading.Event()
        self.batches: list[int] = []
        self.fails = False

    def run(self, images: NDArray[np.uint8], product: int | None = None) -> EngineMaps:
        assert self.open.wait(20)
        self.batches.append(len(images))
        if self.fails:
            raise RuntimeError("out of memory")
        return self._inner.run(images, product)

    def save(self, *_: object) -> None:
        raise AssertionError


@pytest.fixture
def gate(fake_inspector: Inspector) -> Gate:
    return Gate(fake_inspector.engine)


@pytest.fixture
def gated(fake_inspector: Inspector, gate: Gate) -> Inspector:
    from dataclasses import replace

    return replace(fake_inspector, engine=gate)


Scene = Callable[[Any], Coroutine[Any, Any, None]]


def played(inspector: Inspector, scene: Scene, **options: Any) -> None:
    async def whole() -> None:
        batcher = Batcher(inspector, "first", options.pop("keep", list), **options)
        batcher.start()
        await scene(batcher)
        await batcher.stop()

    asyncio.run(asyncio.wait_for(whole(), 60))


@pytest.fixture
def uploads(draw: Draw) -> list[Upload]:
    """A good bolt, a bad one, a bad nut, a good one, over and over."""
    kinds = [("bolt", False), ("bolt", True), ("nut", True), ("nut", False)] * 5
    return [upload(draw(f"{row}.png", kind, defect=bad).read_bytes()) for row, (kind, bad) in enumerate(kinds)]


def upload(content: bytes) -> Upload:
    return Upload(content, "image/png", (64, 64))


def test_every_client_gets_its_own_answer(gated: Inspector, gate: Gate, uploads: list[Upload]) -> None:
    async def scene(batcher: Any) -> None:
        asked = [asyncio.create_task(batcher.inspect([one])) for one in uploads]
        await asyncio.sleep(0)
        gate.open.set()
        for row, task in enumerate(asked):
            (answer,) = await task
            assert isinstance(answer.result, Inspection)
            assert answer.model == "first"
            assert answer.result.product == ("bolt" if row % 4 < 2 else "nut")
            assert answer.result.defective == (row % 4 in (1, 2))

    played(gated, scene, batch=8)
    assert sum(gate.batches) == len(uploads)
    assert len(gate.batches) <= 4  # together, not one by one


def test_several_images_of_one_request(gated: Inspector, gate: Gate, uploads: list[Upload]) -> None:
    gate.open.set()

    async def scene(batcher: Any) -> None:
        answers = await batcher.inspect([uploads[2], upload(b"no image"), uploads[0]], product="nut")
        first, second, third = answers
        assert isinstance(second, Failure)
        assert isinstance(second.error, ImageError)
        assert (first.result.product, third.result.product) == ("nut", "nut")
        with pytest.raises(ConfigError, match="knows no product"):
            await batcher.inspect(uploads[:1], product="wheel")
        assert await batcher.inspect([]) == []

    played(gated, scene)


def test_who_comes_to_a_full_queue_is_told(gated: Inspector, gate: Gate, uploads: list[Upload]) -> None:
    async def scene(batcher: Any) -> None:
        asked = [asyncio.create_task(batcher.inspect(uploads[row : row + 1])) for row in range(3)]
        await asyncio.sleep(0.05)  # the first ones are with the model
        asked.append(asyncio.create_task(batcher.inspect(uploads[:4])))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await batcher.inspect(uploads[:1])
        assert batcher.waiting == 4
        gate.open.set()
        for task in asked:
            await task

    played(gated, scene, batch=3, waiting=4)


def test_who_hangs_up_costs_nothing(gated: Inspector, gate: Gate, uploads: list[Upload]) -> None:
    async def scene(batcher: Any) -> None:
        first = asyncio.create_task(batcher.inspect(uploads[:1]))
        await asyncio.sleep(0.05)
        left = asyncio.create_task(batcher.inspect(uploads[:9]))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.sleep(0)
        gate.open.set()
        await first
        assert len(await batcher.inspect(uploads[:2])) == 2

    played(gated, scene)
    assert sum(gate.batches) == 3


def test_files_that_wait_are_bounded_as_well(gated: Inspector, gate: Gate, uploads: list[Upload]) -> None:
    async def scene(batcher: Any) -> None:
        first = asyncio.create_task(batcher.inspect(uploads[:2]))  # nobody waits: it may be larger
        await asyncio.sleep(0.05)
        second = asyncio.create_task(batcher.inspect(uploads[2:3]))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await batcher.inspect(uploads[3:4])
        gate.open.set()
        await asyncio.gather(first, second)
        assert len(await batcher.inspect(uploads[3:4])) == 1

    played(gated, scene, batch=2, most_bytes=10)


def test_a_product_that_the_next_model_does_not_know(gated: Inspector, gate: Gate, uploads: list[Upload]) -> None:
    from dataclasses import replace

    other = replace(gated, products=("bolt", "washer"))

    async def scene(batcher: Any) -> None:
        first = asyncio.create_task(batcher.inspect(uploads[:1]))
        await asyncio.sleep(0.05)
        named = asyncio.create_task(batcher.inspect(uploads[2:3], product="nut"))
        plain = asyncio.create_task(batcher.inspect(uploads[:1], product="bolt"))
        await asyncio.sleep(0)
        batcher.replace(other, "second")
        gate.open.set()
        await first
        with pytest.raises(ConfigError, match="knows no product"):
            await named
        assert len(await plain) == 1

    played(gated, scene)


def test_what_was_accepted_is_answered_before_the_end(gated: Inspector, gate: Gate, uploads: list[Upload]) -> None:
    async def whole() -> None:
        batcher = Batcher(gated, "first", list, batch=4)
        batcher.start()
        asked = [asyncio.create_task(batcher.inspect([one])) for one in uploads]
        await asyncio.sleep(0)
        ending = asyncio.create_task(batcher.stop())
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await batcher.inspect(uploads[:1])
        gate.open.set()
        await ending
        for task in asked:
            assert len(await task) == 1

    asyncio.run(asyncio.wait_for(whole(), 60))


def test_a_model_that_fails_fails_one_batch(gated: Inspector, gate: Gate, uploads: list[Upload]) -> None:
    gate.open.set()
    gate.fails = True

    async def scene(batcher: Any) -> None:
        with pytest.raises(RuntimeError, match="out of memory"):
            await batcher.inspect(uploads[:2])
        gate.fails = False
        assert len(await batcher.inspect(uploads[:2])) == 2

    played(gated, scene)


def test_what_cannot_be_kept_is_not_answered(gated: Inspector, gate: Gate, uploads: list[Upload]) -> None:
    gate.open.set()
    kept: list[int] = []

    def keep(found: Sequence[Found]) -> list[Found]:
        kept.append(len(found))
        if len(kept) == 1:
            raise OSError("no space left")
        return list(found)

    async def scene(batcher: Any) -> None:
        with pytest.raises(OSError, match="no space"):
            await batcher.inspect(uploads[:3])
        assert len(await batcher.inspect(uploads[:2])) == 2

    played(gated, scene, keep=keep)
    assert kept == [3, 2]


def test_a_batch_is_kept_while_the_next_one_is_inspected(gated: Inspector, gate: Gate, uploads: list[Upload]) -> None:
    gate.open.set()
    slow = threading.Event()
    waits: list[int] = []

    def keep(found: Sequence[Found]) -> list[Found]:
        waits.append(len(gate.batches))
        assert slow.wait(20)
        return list(found)

    async def scene(batcher: Any) -> None:
        asked = [asyncio.create_task(batcher.inspect([one])) for one in uploads[:12]]
        for _ in range(200):
            if len(gate.batches) >= 2:
                break
            await asyncio.sleep(0.01)
        assert len(waits) == 1  # the first batch is not kept yet, and the second was inspected meanwhile
        assert not any(task.done() for task in asked)
        slow.set()
        await asyncio.gather(*asked)

    played(gated, scene, batch=4, keep=keep)


def test_the_next_batch_may_have_another_model(gated: Inspector, gate: Gate, uploads: list[Upload]) -> None:
    gate.open.set()

    async def scene(batcher: Any) -> None:
        (answer,) = await batcher.inspect(uploads[:1])
        assert answer.model == "first"
        batcher.replace(gated, "second")
        (answer,) = await batcher.inspect(uploads[:1])
        assert answer.model == "second"

    played(gated, scene)


def test_an_upload_is_what_its_content_says() -> None:
    upload = checked(png(1), Limits())
    assert (upload.media_type, upload.size, upload.content) == ("image/png", (16, 16), png(1))


@pytest.mark.parametrize(
    ("content", "limits", "status"),
    [
        (b"", Limits(), 422),
        (b"<html><script>alert(1)</script>", Limits(), 415),
        (b"GIF89a" + bytes(40), Limits(), 415),
        (png(1)[:20], Limits(), 422),
        (png(1), Limits(bytes=100), 413),
        (png(1), Limits(pixels=255), 413),
    ],
)
def test_uploads_that_are_refused(content: bytes, limits: Limits, status: int) -> None:
    with pytest.raises(UploadError) as caught:
        checked(content, limits)
    assert caught.value.status == status
    assert "/" not in caught.value.message
