"""The ledger's upkeep: sums are folded, months get their partitions, and what was kept long enough goes.

Each has a loop of its own, so that none waits for another or stops with it. Any daemon may do any of it, several at
once. While Postgres is away they say nothing: the recorder does.
"""

from __future__ import annotations

import asyncio
import random
from abc import abstractmethod
from typing import TYPE_CHECKING

from jobsd.clock import monotonic, now_ms, utc_from_ms
from jobsd.errors import UnreachableError
from jobsd.events import Event
from jobsd.logger import log
from jobsd.records import folding
from jobsd.records.partitions import drop_partitions, ensure_partitions
from jobsd.records.retention import Retention, ledger_now
from jobsd.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from typing import Self

    from jobsd.execution import OutcomeName
    from jobsd.records.partitions import Month
    from jobsd.records.pool import Pool

FOLD_EVERY_S = 5.0
PARTITIONS_EVERY_S = 3600.0
DELETE_EVERY_S = 3600.0
DELETE_FIRST_S = 30.0
ROUND_S = 60.0
PAUSE_S = 0.2
WHOLE_EVERY_S = 86_400.0

_AGAIN_S = 600.0
_LOOK_S = 1.0
_AWAY_S = 5.0
_END_S = 1.0


class Upkeep(Service):
    """One thing to keep in order."""

    expected = (UnreachableError,)
    again_s = _AGAIN_S
    """Seconds until it is tried again after an error."""

    def __init__(self, pool: Pool, ready: Callable[[], bool]) -> None:
        """``ready`` says whether there is a schema to keep, as far as one knows."""
        super().__init__()
        self._pool = pool
        self._ready = ready

    async def tick(self) -> float | None:
        while not self.stopping:
            if not self._ready():
                await self.sleep(_LOOK_S)
                continue
            try:
                return await self.keep()
            except UnreachableError:
                if await self._answers():  # so it is not Postgres: what we asked for takes too long
                    raise
            await self.sleep(_AWAY_S)
        return None

    @abstractmethod
    async def keep(self) -> float:
        """Do it once; return the seconds until the next time."""

    async def _answers(self) -> bool:
        try:
            await ledger_now(self._pool)
        except UnreachableError:
            return False
        return True

    def _failed(self, error: Exception) -> float:
        super()._failed(error)
        return self.again_s


class Folder(Upkeep):
    """Folds what recorders have left of statistics and error groups."""

    again_s = FOLD_EVERY_S

    async def keep(self) -> float:
        while await folding.fold(self._pool) >= folding.MOST and not self.stopping:
            pass
        return FOLD_EVERY_S


class Partitioner(Upkeep):
    """Makes the partitions of the coming months, and drops those that are over."""

    def __init__(self, pool: Pool, ready: Callable[[], bool], retention: Retention) -> None:
        super().__init__(pool, ready)
        self._retention = retention
        self._skipped: set[Month] = set()

    async def keep(self) -> float:
        months = await ensure_partitions(self._pool, utc_from_ms(now_ms()))
        self._tell(months)
        dropped = await drop_partitions(self._pool, self._retention.over(await ledger_now(self._pool)))
        busy = dropped.busy or any(month.state == "busy" for month in months)
        return _AGAIN_S if busy else PARTITIONS_EVERY_S

    def _tell(self, months: list[Month]) -> None:
        """A month that cannot be made is said once, and once more when that has another cause."""
        skipped = {month for month in months if month.state in {"blocked", "busy"}}
        for month in sorted(skipped - self._skipped):
            log.warning(Event.PARTITION_SKIPPED, month=f"{month.first_day:%Y-%m}", cause=month.state)
        self._skipped = skipped
        for month in months:
            if month.state == "made":
                log.info(Event.PARTITION_MADE, month=f"{month.first_day:%Y-%m}")


class Retainer(Upkeep):
    """Deletes what was kept long enough: for a minute at the most, half of it at rest."""

    def __init__(self, pool: Pool, ready: Callable[[], bool], retention: Retention) -> None:
        super().__init__(pool, ready)
        self._retention = retention
        self._first = True
        self._until = 0.0
        self._whole_at = monotonic() + WHOLE_EVERY_S

    async def tick(self) -> float | None:
        if self._first:  # daemons that start together do not all delete at once, and have better things to do
            self._first = False
            return random.uniform(DELETE_FIRST_S / 2, DELETE_FIRST_S)
        return await super().tick()

    async def keep(self) -> float:
        if monotonic() >= self._whole_at:
            self._retention.reset()
            self._whole_at = monotonic() + WHOLE_EVERY_S
        self._until = monotonic() + ROUND_S
        swept = await self._retention.sweep(self._pool, await ledger_now(self._pool), self._rest)
        return ROUND_S if swept == "some" else DELETE_EVERY_S * random.uniform(0.9, 1.1)

    async def _rest(self, took_s: float) -> bool:
        await self.sleep(max(PAUSE_S, took_s))
        return not self.stopping and monotonic() < self._until


class LedgerKeeper:
    """All of it, for as long as one is in its ``with``; leaving it takes a second at the most."""

    def __init__(
        self,
        pool: Pool,
        ready: Callable[[], bool],
        *,
        keep: timedelta,
        keep_outcomes: Mapping[OutcomeName, timedelta],
    ) -> None:
        retention = Retention(keep, keep_outcomes)
        self._services: tuple[Upkeep, ...] = (
            Folder(pool, ready),
            Partitioner(pool, ready, retention),
            Retainer(pool, ready, retention),
        )
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._running = {asyncio.create_task(service.run()) for service in self._services}
        return self

    async def __aexit__(self, *_: object) -> None:
        for service in self._services:
            service.stop()
        for task in self._running:
            task.cancel()  # what a transaction has not committed is done by whoever comes next
        await asyncio.wait(self._running, timeout=_END_S)
