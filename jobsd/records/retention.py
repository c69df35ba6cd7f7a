"""How long executions stay. What is over is deleted in small portions, by index, by one process at a time.

An outcome that is kept longest goes with its month (partitions.py). Only what is kept for a shorter time is deleted,
and what lies in the default partition, which is never dropped.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from jobsd.clock import monotonic, now_ms, utc_from_ms
from jobsd.events import Event
from jobsd.execution import OutcomeName
from jobsd.logger import log
from jobsd.records import folding
from jobsd.records.queries import query
from jobsd.records.schedules import forget_schedules

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from jobsd.records.pool import Pool

MOST = 5_000
"""Rows that one statement deletes at the most."""

Rest: TypeAlias = "Callable[[float], Awaitable[bool]]"
"""Told how many seconds a portion took; waits before the next one. False: leave the others for later."""
Swept: TypeAlias = Literal["all", "some", "elsewhere"]

_EFFECTS_AT_LEAST = timedelta(days=1)  # whatever is recorded: a job must not have its effect again
_ONCE_KEPT = timedelta(days=7)
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)  # the ledger knows no earlier instant


class _ElsewhereError(Exception):
    """Another process deletes just now."""


async def ledger_now(pool: Pool) -> datetime:
    """Return what time it is, of two clocks the earlier: one that is wrong must not cost the ledger."""
    return min(utc_from_ms(now_ms()), await pool.fetchval(query("server_time")))


class Retention:
    """What is kept for how long. It remembers how far it has come, and looks again from the start after ``reset``."""

    def __init__(self, keep: timedelta, keep_outcomes: Mapping[OutcomeName, timedelta]) -> None:
        self._rejected = keep
        self._kept = {outcome: keep_outcomes.get(outcome, keep) for outcome in get_args(OutcomeName)}
        self._longest = max(self._kept.values())
        self._come_to: dict[str, datetime] = {}

    def reset(self) -> None:
        """Look at all of it again: what was written late may be older than where we are."""
        self._come_to.clear()

    def over(self, now: datetime) -> datetime:
        """Return the instant before which nothing is kept."""
        return _before(now, self._longest)

    async def sweep(self, pool: Pool, now: datetime, rest: Rest) -> Swept:
        """Delete what is over at ``now``. ``some``: come again soon. ``elsewhere``: another process does it."""
        sweep, months = _Sweep(pool, rest), await self._months(pool, now)
        try:
            for outcome, kept in self._kept.items():
                before = _before(now, kept)
                await sweep.strays(outcome, before)
                if kept < self._longest:
                    for first, end in months:
                        since = max(first, self._come_to.get(outcome, _FIRST))
                        await sweep.month(outcome, since, min(end, before))
                    if not sweep.ended:
                        self._come_to[outcome] = before
            await sweep.rejected(_before(now, self._rejected))
            await sweep.effects(_before(now, max(self._rejected, _EFFECTS_AT_LEAST)))
            await forget_schedules(pool, now - _ONCE_KEPT)
            await sweep.summaries(self._months_over(now))
        except _ElsewhereError:
            return "elsewhere"
        finally:
            sweep.tell()
        return "some" if sweep.ended else "all"

    def _months_over(self, now: datetime) -> datetime:
        """Return the instant before which whole months are over: statistics go when the rows do that they are of."""
        return self.over(now).astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)

    async def _months(self, pool: Pool, now: datetime) -> list[tuple[datetime, datetime]]:
        """Return, of each month that is not to be dropped, its first instant and that of the next."""
        rows = [(row["starts_at"], row["ends_at"]) for row in await pool.fetch(query("months"))]
        return [(first, end) for first, end in rows if end > self.over(now)]


class _Sweep:
    """One round of it."""

    def __init__(self, pool: Pool, rest: Rest) -> None:
        self.ended = False
        self._pool = pool
        self._rest = rest
        self._deleted: Counter[str] = Counter()
        self._refused = 0
        self._effects: Counter[str] = Counter()

    async def strays(self, outcome: str, before: datetime) -> None:
        await self._executions(query("delete_strays"), outcome, _FIRST, before)

    async def month(self, outcome: str, since: datetime, before: datetime) -> None:
        if since < before:
            await self._executions(query("delete_executions"), outcome, since, before)

    async def rejected(self, before: datetime) -> None:
        count = MOST
        while not self.ended and count == MOST:
            began = monotonic()
            count = await self._pool.fetchval(query("delete_rejected"), before, MOST)
            self._refused += count
            await self._pause(count, began)

    async def effects(self, before: datetime) -> None:
        """Delete what says that something was done once: late, since a process that is stopped may wake."""
        for kind, statement in (
            ("effects", query("delete_effects")),
            ("steps", query("delete_steps")),
            ("schedule_runs", query("delete_schedule_runs")),
        ):
            count = MOST
            while not self.ended and count == MOST:
                began = monotonic()
                count = await self._pool.fetchval(statement, before, MOST)
                self._effects[kind] += count
                await self._pause(count, began)

    async def summaries(self, before: datetime) -> None:
        count = folding.MOST
        while not self.ended and count >= folding.MOST:
            began = monotonic()
            count = await folding.forget(self._pool, statistics_before=before, errors_before=before)
            await self._pause(count, began)

    def tell(self) -> None:
        if self._deleted:
            log.info(Event.EXECUTIONS_DELETED, count=self._deleted.total(), outcomes=dict(self._deleted))
        if self._refused:
            log.info(Event.REJECTED_DELETED, count=self._refused)
        if self._effects.total():
            log.info(
                Event.EFFECTS_DELETED, **{kind: self._effects[kind] for kind in ("effects", "steps", "schedule_runs")}
            )

    async def _executions(self, statement: str, outcome: str, since: datetime, before: datetime) -> None:
        count = MOST
        while not self.ended and count == MOST:
            began = monotonic()
            async with self._pool.transaction() as connection:
                if not await connection.fetchval(query("delete_alone")):
                    raise _ElsewhereError
                [row] = await connection.fetch(statement, outcome, since, before, MOST)
            count, since = row["executions"], row["last_at"]
            if count:
                self._deleted[outcome] += count
            await self._pause(count, began)

    async def _pause(self, count: int, began: float) -> None:
        if count and not await self._rest(monotonic() - began):
            self.ended = True


def _before(now: datetime, kept: timedelta) -> datetime:
    """Return the instant before which nothing is kept. Who keeps it longer than there were clocks keeps all."""
    return now - kept if kept < now - _FIRST else _FIRST
