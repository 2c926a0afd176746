"""Images of many clients share batches; each gets its own answer, or is told that too many wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from blemish.engines.engine import Engine, EngineMaps
from blemish.errors import ConfigError, ImageError
from blemish.inspection import Failure, Inspection
from blemish.inspector import Inspector
from blemish.serving.batcher import Batcher, BusyError
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


Scene = Callable[[Batcher], Coroutine[Any, Any, None]]


def played(inspector: Inspector, scene: Scene, **options: Any) -> None:
    async def whole() -> None:
        batcher = Batcher(inspector, "first", **options)
        batcher.start()
        await scene(batcher)
        await batcher.stop()

    asyncio.run(asyncio.wait_for(whole(), 60))


@pytest.fixture
def contents(draw: Draw) -> list[bytes]:
    """A good bolt, a bad one, a bad nut, a good one, over and over."""
    kinds = [("bolt", False), ("bolt", True), ("nut", True), ("nut", False)] * 5
    return [draw(f"{row}.png", kind, defect=bad).read_bytes() for row, (kind, bad) in enumerate(kinds)]


def test_every_client_gets_its_own_answer(gated: Inspector, gate: Gate, contents: list[bytes]) -> None:
    async def scene(batcher: Batcher) -> None:
        asked = [asyncio.create_task(batcher.inspect([content])) for content in contents]
        await asyncio.sleep(0)
        gate.open.set()
        for row, task in enumerate(asked):
            (answer,) = await task
            assert isinstance(answer.result, Inspection)
            assert answer.model == "first"
            assert answer.result.product == ("bolt" if row % 4 < 2 else "nut")
            assert answer.result.defective == (row % 4 in (1, 2))

    played(gated, scene, batch=8)
    assert sum(gate.batches) == len(contents)
    assert len(gate.batches) <= 4  # together, not one by one


def test_several_images_of_one_request(gated: Inspector, gate: Gate, contents: list[bytes]) -> None:
    gate.open.set()

    async def scene(batcher: Batcher) -> None:
        answers = await batcher.inspect([contents[2], b"no image", contents[0]], product="nut")
        first, second, third = (answer.result for answer in answers)
        assert isinstance(first, Inspection)
        assert isinstance(second, Failure)
        assert isinstance(second.error, ImageError)
        assert isinstance(third, Inspection)
        assert (first.product, third.product) == ("nut", "nut")
        with pytest.raises(ConfigError, match="knows no product"):
            await batcher.inspect(contents[:1], product="wheel")
        assert await batcher.inspect([]) == []

    played(gated, scene)


def test_who_comes_to_a_full_queue_is_told(gated: Inspector, gate: Gate, contents: list[bytes]) -> None:
    async def scene(batcher: Batcher) -> None:
        asked = [asyncio.create_task(batcher.inspect(contents[row : row + 1])) for row in range(3)]
        await asyncio.sleep(0.05)  # the first ones are with the model
        asked.append(asyncio.create_task(batcher.inspect(contents[:4])))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await batcher.inspect(contents[:1])
        assert batcher.waiting == 4
        gate.open.set()
        for task in asked:
            await task

    played(gated, scene, batch=3, waiting=4)


def test_who_hangs_up_costs_nothing(gated: Inspector, gate: Gate, contents: list[bytes]) -> None:
    async def scene(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.inspect(contents[:1]))
        await asyncio.sleep(0.05)
        left = asyncio.create_task(batcher.inspect(contents[:9]))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.sleep(0)
        gate.open.set()
        await first
        assert len(await batcher.inspect(contents[:2])) == 2

    played(gated, scene)
    assert sum(gate.batches) == 3


def test_what_was_accepted_is_answered_before_the_end(gated: Inspector, gate: Gate, contents: list[bytes]) -> None:
    async def whole() -> None:
        batcher = Batcher(gated, "first", batch=4)
        batcher.start()
        asked = [asyncio.create_task(batcher.inspect([content])) for content in contents]
        await asyncio.sleep(0)
        ending = asyncio.create_task(batcher.stop())
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await batcher.inspect(contents[:1])
        gate.open.set()
        await ending
        for task in asked:
            assert len(await task) == 1

    asyncio.run(asyncio.wait_for(whole(), 60))


def test_a_model_that_fails_fails_one_batch(gated: Inspector, gate: Gate, contents: list[bytes]) -> None:
    gate.open.set()
    gate.fails = True

    async def scene(batcher: Batcher) -> None:
        with pytest.raises(RuntimeError, match="out of memory"):
            await batcher.inspect(contents[:2])
        gate.fails = False
        assert len(await batcher.inspect(contents[:2])) == 2

    played(gated, scene)


def test_the_next_batch_may_have_another_model(gated: Inspector, gate: Gate, contents: list[bytes]) -> None:
    gate.open.set()

    async def scene(batcher: Batcher) -> None:
        (answer,) = await batcher.inspect(contents[:1])
        assert answer.model == "first"
        batcher.replace(gated, "second")
        (answer,) = await batcher.inspect(contents[:1])
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
