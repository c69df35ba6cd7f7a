"""What a worker process measures of itself: the same code for both systems."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_EVERY_S = 0.002
_STATM = Path("/proc/self/statm")


class Meter:
    """Begins with the first job's first line; every task calls it first."""

    def __init__(self) -> None:
        self.began = 0.0
        self.waits_ms: list[float] = []
        self.began_ms: dict[str, float] = {}
        """When each job that has a due time began, by id and by the clock on the wall."""
        self._cpu_began = 0.0

    def begin(self) -> None:
        if not self.began:
            self.began = time.perf_counter()
            self._cpu_began = _cpu_s()

    def restart(self) -> None:
        """Begin anew, with this job."""
        self.began = 0.0
        self.begin()

    def arrived(self, sent_ns: int) -> None:
        """Note how long ago a job was sent. Both processes read the one clock of the system."""
        self.waits_ms.append((time.monotonic_ns() - sent_ns) / 1e6)
        self.begin()

    def due(self, job_id: str) -> None:
        self.began_ms[job_id] = time.time_ns() / 1e6
        self.begin()

    def seconds(self) -> float:
        return time.perf_counter() - self.began if self.began else 0.0

    def cpu_s(self) -> float:
        return _cpu_s() - self._cpu_began


async def reached(count: Callable[[], int], wanted: int, look_every_s: float) -> None:
    """Return when ``count`` is there. Looks often: no worker has an event for its nth job."""
    while count() < wanted:  # noqa: ASYNC110
        await asyncio.sleep(look_every_s)


def rss_mib() -> float:
    """Return the memory that this process has now; nan where the system does not tell."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
