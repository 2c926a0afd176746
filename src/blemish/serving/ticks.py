"""Time that only goes on, and ids that are in its order."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable


class Ticks:
    """Milliseconds since 1970, later at every call, also where the clock is set back.

    Args:
        clock: what the machine says.
        least: a time that has been given out already.
    """

    def __init__(self, clock: Callable[[], int], least: int = 0) -> None:
        self._clock, self._last, self._lock = clock, least, threading.Lock()

    def __call__(self) -> int:
        with self._lock:
            self._last = max(self._clock(), self._last + 1)
            return self._last


def new_id(now: int) -> str:
    """32 hexadecimal digits that begin with the time."""
    return f"{now:012x}{secrets.token_hex(10)}"


def time_of(id: str) -> int:
    """When an id was made."""
    return int(id[:12], 16)
