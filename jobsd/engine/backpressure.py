"""Back-pressure: while records wait for Postgres, jobs go on; when too many wait, fewer jobs are claimed.

Up to the limit nothing is slowed. From there the share falls in a straight line, to nothing at a quarter more: what
runs then ends as ever, and its records are written. Each worker looks for itself, at the same stream.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.engine.keepers import Keeper
from jobsd.events import Event
from jobsd.logger import log
from jobsd.size import format_size
from jobsd.store.backlog import limit_of, share_of
from jobsd.store.connection import FULL

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.store.jobs import Jobs

_EVERY_S = 1.0
_LONGEST_S = 5.0
_COST = 100  # a look takes the server 12 ms where 500 MB wait: then looks are so many times as far apart
_MEMORY_EVERY_S = 60.0
_OVER = 0.9  # of the limit: what waits at a Postgres that is merely slow goes up and down about the limit itself
_SAY_EVERY_S = 60.0


class Backpressure(Keeper):
    """Tells ``throttle`` the share of jobs to claim whenever it has changed. ``limit`` is the setting.

    What it found stays until it has found something else, however long Redis does not tell.
    """

    def __init__(self, jobs: Jobs, worker: str, limit: str, throttle: Callable[[float], None]) -> None:
        super().__init__()
        self.share = 1.0
        """How much of what could be claimed is: 1.0 all, 0.0 nothing."""
        self.waiting_bytes = 0
        """What the waiting records took of Redis' memory at the last look."""
        self.limit_bytes: int | None = None
        """From how much on fewer jobs are claimed; None until Redis has told its own limit."""
        self._jobs = jobs
        self._worker = worker
        self._limit = limit
        self._throttle = throttle
        self._memory_at = monotonic()
        self._slowed_at: float | None = None
        self._say_stopped_at = monotonic()
        self._published = 100

    async def tick(self) -> float | None:
        began = monotonic()
        if self.limit_bytes is None or began >= self._memory_at:
            self.limit_bytes = limit_of(self._limit, await self._jobs.looks.maxmemory())
            self._memory_at = began + _MEMORY_EVERY_S
            began = monotonic()
        self.waiting_bytes = await self._jobs.looks.backlog_bytes()
        took_s = monotonic() - began
        self._set(share_of(self.waiting_bytes, self.limit_bytes), self.limit_bytes)
        await self._publish()
        return min(_LONGEST_S, max(_EVERY_S, took_s * _COST))

    def _set(self, share: float, limit: int) -> None:
        if share != self.share:
            self.share = share
            self._throttle(share)
        facts = {"waiting": format_size(self.waiting_bytes), "limit": format_size(limit)}
        if share < 1.0:
            self._say_slowed(facts)
        elif self._slowed_at is not None and self.waiting_bytes <= limit * _OVER:
            log.info(Event.CLAIMS_RESUMED, **facts, slowed_s=round(monotonic() - self._slowed_at, 1))
            self._slowed_at = None

    def _say_slowed(self, facts: dict[str, str]) -> None:
        now = monotonic()
        if self._slowed_at is None:
            self._slowed_at = self._say_stopped_at = now
            log.warning(
                Event.CLAIMS_SLOWED,
                **facts,
                consequence="fewer jobs are claimed, and none from a quarter over the limit on; those that run go on",
                remedy="see why Postgres takes no records, or takes them too slowly, and that a daemon records",
            )
        if self.share <= 0.0 and now >= self._say_stopped_at:
            self._say_stopped_at = now + _SAY_EVERY_S
            log.warning(Event.CLAIMS_STOPPED, **facts, consequence="no job is claimed until records are written")

    async def _publish(self) -> None:
        """Note the share beside the worker's other facts, where everybody can see it."""
        percent = round(self.share * 100)
        if percent != self._published:
            with contextlib.suppress(FULL):  # it is tried again, and the log has said it
                await self._jobs.note_throttle(self._worker, percent)
                self._published = percent
