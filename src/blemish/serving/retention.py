"""How long inspections are kept."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from itertools import count

from blemish.serving.store import Store

_EVERY = 600  # seconds
_ORPHANS_EVERY = 144  # of these: once a day
_DAY = 24 * 3600 * 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retention:
    """What goes; None: nothing.

    Attributes:
        days: inspections that nobody has reviewed go after so many.
        bytes: the oldest inspections go until all files have no more; reviewed ones last.
    """

    days: float | None = None
    bytes: int | None = None


FOR_EVER = Retention()


async def keep_tidy(store: Store, retention: Retention) -> None:
    """Remove what is too old or too much, now and every ten minutes; once a day files that a crash has left."""
    for number in count():
        try:
            await asyncio.to_thread(_tidy, store, retention, number % _ORPHANS_EVERY == 0)
        except Exception:  # a database that is away for a while is there the next time
            _log.exception("nothing could be removed")
        await asyncio.sleep(_EVERY)


def _tidy(store: Store, retention: Retention, orphans: bool) -> None:
    now = time.time_ns() // 1_000_000
    older = None if retention.days is None else now - int(retention.days * _DAY)
    if removed := store.removal.remove(older_than=older, most_bytes=retention.bytes):
        _log.info("%d inspections were removed", removed)
    if orphans and (files := store.removal.remove_orphans(now - _DAY)):
        _log.info("%d files that nothing names were removed", files)
