"""Every question a person asks of schedules, and every order, in one place: commands, code and pages go through here.

A write is decided on what was read, and written only if that still is so (Store.apply): it is tried again a few times.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jobsd.addresses import masked
from jobsd.admin.last_jobs import LastJobs
from jobsd.admin.past_runs import past_due, with_results
from jobsd.admin.run_time_schedules import CHANGES_ALLOWED, as_written, defined, due_of, once_at
from jobsd.admin.schedule_standing import DECLARED_IN
from jobsd.admin.schedule_views import DueTimes, upcoming_of
from jobsd.admin.triggering import accepted, fired_by_hand, outcome_of, seconds_of, stranded
from jobsd.clock import ms_from_datetime, now_ms, utc_from_ms
from jobsd.errors import (
    InvalidOptionError,
    NotConfiguredError,
    ScheduleBusyError,
    ScheduleError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    ScheduleOwnedError,
    UnreachableError,
)
from jobsd.expressions import parse
from jobsd.schedule.options import is_schedule_name
from jobsd.schedule.state import Change
from jobsd.store.connection import AWAY, REFUSED, is_away

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from datetime import datetime, timedelta

    from jobsd.admin.last_jobs import Outcomes
    from jobsd.admin.schedule_views import PastDue, ScheduleView, Triggered
    from jobsd.client import Client
    from jobsd.definition import Task
    from jobsd.schedule.state import Entry, Looked, Store
    from jobsd.store.schedules import RedisSchedules

_TRIES = 8
_LONGEST_PAUSE_S = 0.05
_MOST_TIMES = 1000
_LONGEST_BY = 100
_MOST_LINES = 1000
_RESTARTS = 3


class Schedules:
    """``store`` keeps the schedules, ``redis`` knows of jobs; ``zone`` is that of run-time schedules which name none.

    Every method raises UnreachableError where a server does not answer, and SchemaError where the ledger's schema is
    an older one.
    """

    def __init__(
        self,
        store: Store,
        client: Client,
        redis: RedisSchedules,
        outcomes: Outcomes,
        *,
        outbox: bool,
        redis_url: str,
        zone: str = "UTC",
    ) -> None:
        self._store = store
        self._client = client
        self._redis = redis
        self._outbox = outbox
        self._redis_url = redis_url
        self._zone = zone
        self._jobs = LastJobs(client, redis, outcomes, outbox=outbox, ask=self._ask)

    async def list(self) -> Sequence[ScheduleView]:
        """Return how all schedules stand, by name."""
        looked = await self._look(None)
        return await self._jobs.views(looked, sorted(looked.entries))

    async def get(self, name: str) -> ScheduleView:
        """Return how it stands. Raises ScheduleNotFoundError."""
        looked, _ = await self._entry(name)
        return (await self._jobs.views(looked, [name]))[0]

    async def next(self, name: str, count: int = 5) -> Sequence[datetime]:
        """Return its next due times, UTC, as if it were neither paused nor disabled; less, where there are less.

        What a holiday is, only its daemons know: those are not left out. Raises ScheduleNotFoundError.
        """
        looked, entry = await self._entry(name)
        times = upcoming_of(entry.schedule, entry.state, looked.now, min(count, _MOST_TIMES))
        return [utc_from_ms(at) for at in times]

    async def history(
        self, name: str | None = None, limit: int = 20, *, since: datetime | None = None, passed: bool = False
    ) -> Sequence[PastDue]:
        """Return what came of due times, the latest first, of one schedule or of all; at most 1,000.

        ``since``: of due times from then on; ``passed``: only of those that were passed over. Without Postgres the last
        50 of each are known. A schedule that was removed is remembered by the ledger. Raises ScheduleNotFoundError;
        InvalidOptionError for a ``since`` without a zone.
        """
        since_ms = _since_ms(since)
        if name is not None and not is_schedule_name(name):
            await self._entry(name)
        most = max(1, min(limit, _MOST_LINES))
        lines = await self._ask(self._store.history(name, most, since=since_ms, passed=passed))
        if name is not None and not lines:
            await self._entry(name)
        entries = (await self._look(sorted({line.name for line in lines}))).entries
        if not self._outbox:
            queues = {name: entry.schedule.queue for name, entry in entries.items()}
            lines = await self._ask(with_results(lines, queues, self._client))
        lines = await self._jobs.seen_through(lines)
        zones = {name: entry.schedule.zone for name, entry in entries.items()}
        return [past_due(line, zones.get(line.name, "UTC")) for line in lines]

    async def expect(self, names: Sequence[str], *, removable: bool = False) -> None:
        """See that there are schedules of all these names, before anything is done with one of them.

        ``removable``: they can be removed. Raises ScheduleNotFoundError, and what ``remove`` raises, of the first that
        is not so.
        """
        for name in names:
            _, entry = await self._entry(name)
            if removable:
                await self._see_removable(entry)

    async def pause(self, name: str, *, by: str = "") -> bool:
        """Let it fire no more until it is resumed, whatever is declared; False if it was paused already.

        ``by`` is who says so. What is due meanwhile is passed over. Raises ScheduleNotFoundError, InvalidOptionError.
        """
        if not by.isprintable() or len(by) > _LONGEST_BY:
            allowed = f"a text of at most {_LONGEST_BY} printable characters"
            raise InvalidOptionError(option="by", given=by[:_LONGEST_BY], allowed=allowed)

        def paused(entry: Entry, now: int) -> Change | None:
            if entry.state.paused_at is not None:
                return None
            return _steered(entry, paused_at=now, paused_by=by)

        return await self._change(name, paused) is not None

    async def resume(self, name: str) -> bool:
        """Let it fire again, from now on; False if it was not paused. Raises ScheduleNotFoundError."""

        def resumed(entry: Entry, now: int) -> Change | None:
            if entry.state.paused_at is None:
                return None
            paused_from = entry.state.paused_at
            if entry.state.resumed_at is not None and entry.state.paused_from is not None:
                # Nobody has decided since the pause before: the two are one, and the moment between them is in it.
                paused_from = min(entry.state.paused_from, paused_from)
            return _steered(entry, paused_at=None, paused_by="", resumed_at=now, paused_from=paused_from)

        return await self._change(name, resumed) is not None

    async def trigger(self, name: str, *, wait: float | str | timedelta | None = "30s") -> Triggered:
        """Run it now, also if it is paused or disabled; wait for the end, ``wait`` (seconds, or "30s") at the most.

        Not counted among its runs. With ``wait=None`` it returns when the job is stored. Raises ScheduleNotFoundError;
        ScheduleBusyError where its runs may not overlap and the last has not ended.
        """
        wait_s = seconds_of(wait)

        async def triggered(entry: Entry, now: int) -> Change:
            if entry.schedule.overlap != "allow" and await self._jobs.live([entry]):
                raise ScheduleBusyError(schedule=name, job_id=entry.state.last_job.partition(" ")[0])
            return fired_by_hand(entry, now, outbox=self._outbox)

        change = await self._change(name, triggered)
        if change is None:  # it never is: `triggered` has a change, or raises
            raise ScheduleError(name)
        job = change.fired[0].job
        if not wait_s:
            return accepted(name, job, "")
        told = await outcome_of(name, job, self._client, self._store, wait_s=wait_s, outbox=self._outbox)
        return stranded(told, await self._jobs.served()) if told.state == "accepted" else told

    async def add(self, name: str | None = None, *, replace: bool = False, **options: Any) -> str:
        """Keep a new schedule from now on, and return its name, by which it is steered and removed.

        ``options`` are those of the settings: ``task``, one of ``at`` and ``every``, ``args``, ``zone``, ``missed`` …
        Without a name it is given one. With ``replace`` a run-time schedule of that name becomes this one: it keeps its
        past and its pause, goes on from now where it has another time, and is left alone if it is the same already.

        Raises ScheduleDefinitionError (all that is wrong), InvalidArgumentsError, ScheduleExistsError (with ``replace``
        only where settings or code declare it), InvalidOptionError for ``replace`` without a name, NotConfiguredError
        without Postgres.
        """
        if replace and name is None:
            raise InvalidOptionError(option="replace", given=replace, allowed="False where no name is given")
        schedule = defined(name, options, zone=self._zone)
        if await self._ask(self._store.put(schedule, version=None)):
            return schedule.name
        for _ in range(_TRIES):
            there = (await self._look([schedule.name])).entries.get(schedule.name)
            if not replace or (there is not None and there.schedule.source != "runtime"):
                declared_in = None if there is None else DECLARED_IN.get(there.schedule.source)
                raise ScheduleExistsError(schedule=schedule.name, declared_in=declared_in)
            if there is not None and there.schedule == schedule.as_stored():
                return schedule.name
            if await self._ask(self._store.put(schedule, version=None if there is None else there.version)):
                return schedule.name
        raise _moved(schedule.name)

    async def update(self, name: str, /, **changes: Any) -> None:
        """Change options of a run-time schedule; the others stay. Where it has another time, it goes on from now.

        Raises ScheduleNotFoundError, ScheduleOwnedError (settings or code declare it), InvalidOptionError for another
        name, and what ``add`` raises.
        """
        if "name" in changes:
            raise InvalidOptionError(option="name", given=changes["name"], allowed=CHANGES_ALLOWED)
        for number in range(_TRIES):
            _, entry = await self._entry(name)
            _own(entry)
            options = as_written(entry.schedule)
            if changes.get("every") is not None and "at" not in changes:
                options["at"] = None
            schedule = defined(name, {**options, **changes}, zone=entry.schedule.zone)
            if await self._ask(self._store.put(schedule, version=entry.version)):
                return
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_S) * (number + 1))
        raise _moved(name)

    async def remove(self, name: str) -> bool:
        """Let a run-time schedule be no more; jobs of it that wait or run stay. False if there is none of that name.

        What no daemon declares any more may be removed, too. Raises ScheduleOwnedError; ScheduleError where no daemon
        is alive that could say so; NotConfiguredError without Postgres, where run-time schedules would be.
        """
        if not is_schedule_name(name):
            return False
        entry = (await self._look([name])).entries.get(name)
        if entry is not None:
            await self._see_removable(entry)
        if await self._ask(self._store.remove(name)):
            with suppress(UnreachableError):  # what it had come to while Postgres was away is no other's
                await self._ask(self._redis.forget_spare(name))
            return True
        entry = (await self._look([name])).entries.get(name)
        if entry is not None:
            _own(entry)
        elif not self._outbox:
            raise NotConfiguredError(what="Postgres", ways=_WAYS)
        return False

    async def once(
        self,
        task: str | Task[..., Any],
        *,
        at: datetime | None = None,
        delay: str | timedelta | None = None,
        name: str | None = None,
        **options: Any,
    ) -> str:
        """Run ``task`` once, at an instant or after a time, to the second; return the entry's name, for ``remove``.

        ``args`` and the other options are those of ``add``. Raises InvalidOptionError, and what ``add`` raises.
        """
        for _ in range(_RESTARTS):
            due = due_of(at, delay, (await self._look([])).now)
            added = await self.add(name, task=task, at=once_at(due), **options)
            entry = (await self._look([added])).entries.get(added)
            if entry is None or entry.state.cursor < due:
                return added
            await self._ask(self._store.remove(added))  # it was too late when it came: it would never be due
        raise ScheduleError(f"the due time is over before the schedule is stored: {at or delay}")

    async def every(self, task: str | Task[..., Any], interval: str | timedelta, **options: Any) -> str:
        """Run ``task`` each time so long has passed, from now on; return the entry's name, for ``remove``.

        Options, ``args`` and ``name`` among them, and errors are those of ``add``.
        """
        return await self.add(task=task, every=interval, **options)

    async def _change(
        self, name: str, decided: Callable[[Entry, int], Change | Awaitable[Change] | None]
    ) -> Change | None:
        """Write what is decided on the entry as it stands; None if nothing is."""
        for _ in range(_TRIES):
            looked, entry = await self._entry(name)
            change = decided(entry, looked.now)
            if change is not None and not isinstance(change, Change):
                change = await change
            if change is None or name in await self._ask(self._store.apply([change])):
                return change
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_S))
        raise _moved(name)

    async def _see_removable(self, entry: Entry) -> None:
        """Raise what ``remove`` raises, if it is not of run time and may be declared still."""
        schedule = entry.schedule
        if schedule.source == "runtime":
            return
        if entry.declared:
            _own(entry)
        if not await self._jobs.heard_of():
            where = f"schedule {schedule.name!r} was declared in {DECLARED_IN[schedule.source]}"
            raise ScheduleError(f"{where}, and no daemon is alive to say whether it still is; start one first")

    async def _entry(self, name: str) -> tuple[Looked, Entry]:
        looked = await self._look([name] if is_schedule_name(name) else [])  # no server is asked for just any text
        if name in looked.entries:
            return looked, looked.entries[name]
        known = sorted((await self._look(None)).entries)
        raise ScheduleNotFoundError(schedule=name, known=known, hint="" if known or self._outbox else NO_POSTGRES)

    async def _look(self, names: Sequence[str] | None) -> Looked:
        return await self._ask(self._store.look(names))

    async def _ask(self, call: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await call
        except (*AWAY, REFUSED) as error:
            if not is_away(error):
                raise
            cause = str(error) or repr(error)
            raise UnreachableError(server="Redis", url=masked(self._redis_url), cause=cause) from error


def _steered(entry: Entry, **state: Any) -> Change:
    return Change(entry.schedule.name, entry.version, entry.state._replace(**state), tell=True)


def _own(entry: Entry) -> None:
    """See that the entry is of run time. Raises ScheduleOwnedError."""
    schedule = entry.schedule
    if schedule.source != "runtime":
        raise ScheduleOwnedError(schedule=schedule.name, declared_in=DECLARED_IN[schedule.source])


NO_POSTGRES = "no Postgres is configured here, in which daemons that have one keep theirs"
_WAYS = "run-time schedules are kept there; set JOBSD_DATABASE_URL"


def check(text: str, *, zone: str = "UTC", seconds: bool = False, count: int = 5) -> DueTimes:
    """Return what an expression says, and its next due times; needs no server. Intervals are counted from now.

    Raises ExpressionError, which says what is wrong, where, and what was probably meant.
    """
    now = now_ms()
    expression = parse(text, zone=zone, seconds=seconds, anchor_ms=now)
    found: list[datetime] = []
    due = expression.next(now)
    while due is not None and len(found) < min(count, _MOST_TIMES):
        found.append(utc_from_ms(due))
        due = expression.next(due)
    return DueTimes(words=expression.words, next_at=tuple(found))


def _since_ms(since: datetime | None) -> int | None:
    try:
        return None if since is None else ms_from_datetime(since)
    except (ValueError, AttributeError, OverflowError):
        raise InvalidOptionError(option="since", given=since, allowed="a datetime with a zone") from None


def _moved(name: str) -> ScheduleError:
    return ScheduleError(f"schedule {name!r} was changed by others {_TRIES} times in a row; try again")
