"""What a worker process measures of itself: the same code for both systems."""

from __future__ import annotations

import asyncio
import resource
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_EVERY_S = 0.002


class Meter:
    """Begins with the first job's first line; every task calls it first."""

    def __init__(self) -> None:
        self.began = 0.0
        self.waits_ms: list[float] = []
        self._cpu_began = 0.0

    def begin(self) -> None:
        if not self.began:
            self.began = time.perf_counter()
            self._cpu_began = _cpu_s()

    def arrived(self, sent_ns: int) -> None:
        """Note how long ago a job was sent. Both processes read the one clock of the system."""
        self.waits_ms.append((time.monotonic_ns() - sent_ns) / 1e6)
        self.begin()

    def seconds(self) -> float:
        return time.perf_counter() - self.began if self.began else 0.0

    def cpu_s(self) -> float:
        return _cpu_s() - self._cpu_began


async def reached(count: Callable[[], int], wanted: int) -> None:
    """Return when ``count`` is there. Looks often: no worker has an event for its nth job."""
    while count() < wanted:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_EVERY_S)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
