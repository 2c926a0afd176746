"""What is too old or too much goes while the service runs."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from blemish.serving import retention
from blemish.serving.retention import FOR_EVER, Retention, keep_tidy
from blemish.serving.store import Store

from .conftest import Add, Clock

DAY = 24 * 3600 * 1000


def tidied(store: Store, what: Retention) -> None:
    async def once() -> None:
        task = asyncio.create_task(keep_tidy(store, what))
        await asyncio.sleep(0.3)
        task.cancel()

    asyncio.run(once())


def test_old_ones_go(store: Store, add: Add, clock: Clock) -> None:
    clock.now = time.time_ns() // 1_000_000 - 3 * DAY
    old, reviewed = add(), add()
    store.add_review(reviewed, "rejected")
    clock.now += 2 * DAY
    new = add()
    lost, young = store.blobs.add(b"left by a crash"), store.blobs.add(b"about to be named")
    days_ago = time.time() - 2 * 24 * 3600
    os.utime(store.blobs.path(lost), (days_ago, days_ago))
    tidied(store, Retention(days=4))
    assert len(store.inspections()) == 3
    tidied(store, Retention(days=2))
    assert [one.id for one in store.inspections()] == [new, reviewed]
    assert lost not in dict(store.blobs)
    assert young in dict(store.blobs)
    assert old not in [one.id for one in store.inspections()]


def test_there_is_space_again(store: Store, add: Add) -> None:
    for _ in range(5):
        add()
    tidied(store, FOR_EVER)
    assert len(store.inspections()) == 5
    tidied(store, Retention(bytes=0))
    assert store.inspections() == ()


def test_a_database_that_is_away_for_a_while(store: Store, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    add()
    tries = 0
    remove = store.removal.remove

    def fails_once(**options: int | None) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError("no connection")
        return remove(**options)

    monkeypatch.setattr(store.removal, "remove", fails_once)
    monkeypatch.setattr(retention, "_EVERY", 0.05)
    tidied(store, Retention(bytes=0))
    assert tries > 1
    assert store.inspections() == ()
