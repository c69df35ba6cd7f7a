"""What is known of the jobs that schedules have made last, and of the daemons that would run them.

The store knows which have not ended, Redis may know better, and what the ledger, or else Redis, has written down says
how the others did.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from jobsd.admin.schedule_views import view_of
from jobsd.errors import UnreachableError
from jobsd.schedule.names import incarnation_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from jobsd.admin.schedule_views import ScheduleView
    from jobsd.client import Client
    from jobsd.schedule.state import Ended, Entry, Looked, Past, State
    from jobsd.store.schedules import RedisSchedules

_AT_ONCE = 100
"""Schedules that are looked into before others have their turn in the event loop."""


class Outcomes(Protocol):
    """Tells job -> how it ended, of those that are known; jobs are ("<id> <incarnation>", queue)."""

    async def __call__(self, jobs: Sequence[tuple[str, str]], /) -> dict[str, Ended]: ...


class LastJobs:
    """``ask`` awaits what is asked of a server, and raises UnreachableError where that does not answer."""

    def __init__(
        self,
        client: Client,
        redis: RedisSchedules,
        outcomes: Outcomes,
        *,
        outbox: bool,
        ask: Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]],
    ) -> None:
        self._client = client
        self._redis = redis
        self._outcomes = outcomes
        self._outbox = outbox
        self._ask = ask

    async def views(self, looked: Looked, names: Sequence[str]) -> Sequence[ScheduleView]:
        """Return how the schedules of these names stand."""
        entries = [looked.entries[name] for name in names]
        live = await self.live(entries)
        ended = [entry.state for entry in entries if entry.state.last_job and entry.state.last_job not in live]
        outcomes = await self._ask(self._outcomes([(state.last_job, state.last_queue) for state in ended]))
        parked = await self._parked([entry.state for entry in entries if entry.state.last_job in live])
        served = await self.served() if entries else None
        views: Any = []
        for number, entry in enumerate(entries, 1):
            job = entry.state.last_job
            stands: dict[str, Any] = {"parked": parked.get(job, ""), "ended": outcomes.get(job), "served": served}
            views.append(view_of(entry, looked.now, live=job in live, **stands))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return views

    async def live(self, entries: Sequence[Entry]) -> set[str]:
        """Return which of their last jobs have not ended."""
        jobs = {one.state.last_job: one.last_is_live for one in entries if one.state.last_job}
        return await self._live(jobs)

    async def seen_through(self, lines: Sequence[Past]) -> list[Past]:
        """Return the lines of a history, those of them live whose job has not ended."""
        jobs = [f"{line.job_id} {incarnation_of(line.job_id, outbox=True)}" if line.job_id else "" for line in lines]
        live = await self._live({job: line.live for line, job in zip(lines, jobs, strict=True) if job})
        return [line._replace(live=job in live) for line, job in zip(lines, jobs, strict=True)]

    async def served(self) -> set[str] | None:
        """Return the queues that living daemons serve; None: Redis does not tell."""
        try:
            return await self.heard_of()
        except UnreachableError:
            return None

    async def heard_of(self) -> set[str]:
        """Return the queues that living daemons serve; none, if no daemon is alive. Raises UnreachableError."""
        return await self._ask(self._client.following().looks.served())

    async def _live(self, jobs: dict[str, bool]) -> set[str]:
        """Return which of them have not ended; of each it is said whether the store takes it for live.

        The ledger hears of an end later than Redis does, and has no row for what was fired while it was away.
        """
        known = {job for job, live in jobs.items() if live}
        if not self._outbox:
            return known
        try:
            live = await self._ask(self._redis.live(known, outbox=True))
            return live | await self._ask(self._redis.live(jobs.keys() - known, outbox=False))
        except UnreachableError:
            return known

    async def _parked(self, states: Sequence[State]) -> dict[str, str]:
        """Return last job -> for what it is parked, of those that are; nothing is known of it without Redis."""
        try:
            return await self._ask(self._redis.parked([(state.last_job, state.last_queue) for state in states]))
        except UnreachableError:
            return {}
