"""Sleeps until a schedule is due, looks at how it stands, decides, and writes what was decided with the jobs of it."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from pydantic_core import from_json, to_json

from jobsd.clock import monotonic, utc_from_ms
from jobsd.errors import EnqueueError, UnreachableError
from jobsd.events import Event
from jobsd.expressions import ExpressionError
from jobsd.logger import log
from jobsd.schedule.decide import decide
from jobsd.schedule.declared import fingerprint_of
from jobsd.schedule.definition import Schedule
from jobsd.schedule.state import Change, Fired, Passed
from jobsd.schedule_jobs import job_of
from jobsd.scheduler.plans import Plans
from jobsd.service import Service
from jobsd.store.connection import AWAY
from jobsd.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jobsd.schedule.decide import Decision
    from jobsd.schedule.state import Entry, Looked, State, Store
    from jobsd.scheduler.bridge import Bridge
    from jobsd.scheduler.plans import Plan

BEAT_S = 5.0
_ALL_S = 300.0
"""All entries are looked at so often, whatever was told of them."""
_MOST = 200
"""Schedules that one tick decides about: more would keep the event loop from others for too long."""
_ASIDE_S = 0.05, 0.2
"""How long a daemon that came second leaves the next due times to whoever came first."""
_WAIT_S = 0.1
_TRACED_MS = 120_000
_PATIENCE_MS = 2000
"""How long a due time waits for a Postgres that does not answer."""


class Live(Protocol):
    """Says which of these jobs of the outbox, each "<id> <incarnation>", have not ended: RedisSchedules.live."""

    async def __call__(self, jobs: Iterable[str], *, outbox: bool) -> set[str]: ...


class Scheduler(Service):
    """``schedules`` are those that this daemon declares; run-time ones come from ``store``.

    Where that is Postgres, jobs go through the outbox, and there is a ``bridge`` for the time in which it is away.
    """

    expected = (UnreachableError, *AWAY)

    def __init__(
        self, store: Store, live: Live, schedules: Sequence[Schedule], *, bridge: Bridge | None = None
    ) -> None:
        super().__init__()
        self.plans = Plans()
        self._store = store
        self._live = live
        self._outbox = bridge is not None
        self._bridge = bridge
        self._ours = {schedule.name: schedule for schedule in schedules}
        self._written = {name: _as_written(schedule) for name, schedule in self._ours.items()}
        self._fingerprint = fingerprint_of(schedules)
        self._seen: str | None = None
        """What the last beat told of all entries."""
        self._declared = False
        self._ahead_ms = 0.0
        """The server's time less the monotonic clock's."""
        self._beat_at = self._all_at = 0.0
        self._aside_s = 0.0
        self._news = asyncio.Event()
        self._superseded: set[str] = set()

    def heard(self) -> None:
        """Look at all entries soon: somebody has changed one."""
        self._beat_at = 0.0
        self._news.set()

    def stop(self) -> None:
        super().stop()
        self._news.set()

    async def tick(self) -> float | None:
        try:
            await self._tick()
        except UnreachableError:
            self._beat_at = 0.0
            if self._bridge is not None:
                await self._fire_meanwhile(self._bridge)
            raise
        return None

    async def _tick(self) -> None:
        if monotonic() >= self._beat_at:
            await self._beat()
        due = self.plans.due(self._now(), _MOST)
        if due:
            await self._fire(due)
        await self._sleep()

    # --- what there is ----------------------------------------------------------------------------------

    async def _beat(self) -> None:
        if not self._declared:
            await self._store.declare(list(self._ours.values()), self._fingerprint, at_start=True)
            self._declared = True
        if self._bridge is not None and await self._bridge.carry(self._store):
            self._seen = None
        beat = await self._store.beat(self._fingerprint)
        self._set_clock(beat.now)
        if beat.mark != self._seen or monotonic() >= self._all_at:
            await self._take_in(await self._look(None))
            self._seen, self._all_at = beat.mark, monotonic() + _ALL_S
        self._beat_at = monotonic() + BEAT_S

    async def _take_in(self, looked: Looked) -> None:
        """Plan what is ours to fire, and no more what is not."""
        missing = [schedule for name, schedule in self._ours.items() if name not in looked.entries]
        left = [self._ours[name] for name, entry in looked.entries.items() if name in self._ours and not entry.declared]
        if missing or left:
            await self._store.declare([*missing, *left], self._fingerprint, at_start=False)
            await self._restore(await self._look([schedule.name for schedule in missing]))
            looked = await self._look(None)
        for name in set(self.plans.names()) - looked.entries.keys():
            self.plans.drop(name)
        for number, entry in enumerate(looked.entries.values(), 1):
            self._plan(entry)
            if number % _MOST == 0:
                await asyncio.sleep(0)

    async def _restore(self, looked: Looked) -> None:
        """Let what a Redis without memory begins anew go on from where it was seen last."""
        seen = {name: plan.state for name in looked.entries if (plan := self.plans.get(name)) is not None}
        changes = [Change(name, 1, seen[name]) for name in seen]
        await self._store.apply([change for change in changes if looked.entries[change.name].version == 1])

    def _plan(self, entry: Entry) -> None:
        name = entry.schedule.name
        ours = self._ours.get(name)
        if entry.schedule.source == "runtime":
            schedule = entry.schedule
        elif ours is not None and self._is_ours(entry):
            schedule = ours
            self._superseded.discard(name)
        else:
            self.plans.drop(name)
            if ours is not None and name not in self._superseded:
                self._superseded.add(name)
                log.warning(Event.SCHEDULE_SUPERSEDED, schedule=name, consequence=_SUPERSEDED)
            return
        try:
            self.plans.plan(entry, schedule)
        except ExpressionError as error:  # of a later version of jobsd
            self.plans.drop(name)
            log.error(Event.SCHEDULE_REFUSED, schedule=name, cause=str(error))

    def _is_ours(self, entry: Entry) -> bool:
        return self._written[entry.schedule.name] == entry.schedule

    # --- what is due --------------------------------------------------------------------------------------

    async def _fire(self, names: Sequence[str]) -> None:
        if self._bridge is not None and await self._bridge.carry(self._store):
            self._seen, self._beat_at = None, 0.0
            return
        looked = await self._look(names)
        for name in names:
            if name not in looked.entries:  # it was removed, or Redis has lost everything
                self._seen, self._beat_at = None, 0.0
                self.plans.again(name, looked.now + int(_WAIT_S * 1000))
        entries = [entry for entry in looked.entries.values() if self._still(entry)]
        live = await self._live_of(entries)
        decisions = [
            (
                entry,
                _decide(self.plans[entry.schedule.name], entry.state, looked.now, live=entry.state.last_job in live),
            )
            for entry in entries
        ]
        changes = [
            change
            for entry, decision in decisions
            if (change := self._change(entry.schedule, entry.version, entry.state, decision, looked.now)) is not None
        ]
        applied = await self._store.apply(changes) if changes else set[str]()
        told = {change.name: change for change in changes}
        for entry, decision in decisions:
            name = entry.schedule.name
            change = told.get(name)
            if change is None:
                self.plans.note(name, entry.state, decision.next)
            elif name in applied:
                self._say(change)
                self.plans.note(name, change.state, decision.next)
            else:  # somebody else is at it in this moment
                self.plans.again(name, looked.now + int(_WAIT_S * 1000))
        self._step_aside(won=bool(applied), lost=not applied and bool(entries))

    async def _fire_meanwhile(self, bridge: Bridge) -> None:
        """Fire what is overdue in Redis: Postgres does not answer."""
        names = self.plans.due(self._now() - _PATIENCE_MS, _MOST)
        if not names:
            return
        now, stands = await bridge.stand({name: self.plans[name] for name in names})
        live = await self._live_meanwhile([spare.state for spare in stands.values() if spare.state.last_job], now)
        changes: dict[str, tuple[Change | None, Decision]] = {}
        for name, spare in stands.items():
            plan = self.plans[name]
            decision = _decide(plan, spare.state, now, live=spare.state.last_job in live)
            changes[name] = self._change(plan.schedule, spare.version, spare.state, decision, now), decision
        applied = await bridge.spares.apply([change for change, _ in changes.values() if change is not None])
        for name, (change, decision) in changes.items():
            if change is None or name in applied:
                state = stands[name].state if change is None else change.state
                self.plans.note(name, state, decision.next)
                if change is not None:
                    self._say(change)

    def _still(self, entry: Entry) -> bool:
        """Say whether it is as it was planned; if not, plan it anew."""
        plan = self.plans.get(entry.schedule.name)
        if plan is not None and plan.written == entry.schedule:
            return True
        self._plan(entry)
        return False

    async def _live_of(self, entries: Iterable[Entry]) -> set[str]:
        """Return the last jobs that have not ended, of those schedules whose runs may not overlap."""
        asked = [entry for entry in entries if entry.state.last_job and entry.schedule.overlap != "allow"]
        live = {entry.state.last_job for entry in asked if entry.last_is_live}
        if not self._outbox:
            return live
        others = {entry.state.last_job for entry in asked} - live
        live = await self._live(live, outbox=True)
        # What was fired while Postgres was away has no row in the outbox. If Redis is away now, rows decide alone.
        with suppress(*AWAY):
            live |= await self._live(others, outbox=False)
        return live

    async def _live_meanwhile(self, states: Sequence[State], now: int) -> set[str]:
        """Return the last jobs that have not ended, as far as Redis knows: rows of the outbox are out of reach."""
        # Redis remembers for longer than that what it was given: of those it has no trace of they have ended.
        recent = {state.last_job for state in states if (state.last_due or 0) > now - _TRACED_MS}
        others = {state.last_job for state in states} - recent
        return await self._live(recent, outbox=True) | await self._live(others, outbox=False)

    def _change(self, schedule: Schedule, version: int, before: State, decision: Decision, now: int) -> Change | None:
        """Return what is to be written; None: nothing but time has passed."""
        if not (decision.fires or decision.passed or decision.waits) and before.resumed_at is None:
            return None
        state, fired, passed = decision.state, list[Fired](), list(decision.passed)
        for due in decision.fires:
            try:
                job = job_of(schedule, due, now, outbox=self._outbox)
            except EnqueueError as error:
                passed.append(Passed(due, due, 1, str(error)))
                continue
            fired.append(Fired(due, job))
            incarnation = job.payload[6:18].decode()
            state = state._replace(last_job=f"{job.id} {incarnation}", last_queue=job.queue, last_due=due)
        return Change(schedule.name, version, state, fired, passed, decision.waits)

    def _step_aside(self, *, won: bool, lost: bool) -> None:
        if won:
            self._aside_s = 0.0
        elif lost:
            self._aside_s = random.uniform(*_ASIDE_S)

    def _say(self, change: Change) -> None:
        for one in change.fired:
            log.debug(Event.SCHEDULE_FIRED, schedule=change.name, due_ms=one.due, job_id=one.job.id)
        for one in change.passed:
            log.info(Event.SCHEDULE_PASSED, schedule=change.name, due_times=one.due_times, cause=one.reason)

    # --- time -----------------------------------------------------------------------------------------------

    async def _look(self, names: Sequence[str] | None) -> Looked:
        looked = await self._store.look(names)
        self._set_clock(looked.now)
        return looked

    def _set_clock(self, now: int) -> None:
        """Note the server's time, as it was before the answer came: the estimate is late, never early."""
        self._ahead_ms = now - monotonic() * 1000

    def _now(self) -> int:
        return int(self._ahead_ms + monotonic() * 1000)

    async def _sleep(self) -> None:
        left_s = self._beat_at - monotonic()
        soonest = self.plans.soonest()
        if soonest is not None:
            left_s = min(left_s, (soonest - self._ahead_ms) / 1000 - monotonic() + self._aside_s)
        try:
            async with asyncio.timeout(max(left_s, 0.001)):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()


def _as_written(schedule: Schedule) -> Schedule:
    """Return it as a store gives it back."""
    return Schedule.from_wire({**from_json(to_json(schedule.to_wire())), "name": schedule.name}, schedule.source)


def _decide(plan: Plan, state: State, now: int, *, live: bool) -> Decision:
    return decide(plan.schedule, plan.expression, state, now, live=live, is_holiday=_holidays(plan))


def _holidays(plan: Plan) -> Callable[[int], bool] | None:
    is_holiday = plan.schedule.is_holiday
    if is_holiday is None:
        return None
    zone = zone_named(plan.schedule.zone)

    def asked(due: int) -> bool:
        try:
            return bool(is_holiday(utc_from_ms(due).astimezone(zone)))
        except Exception as error:  # noqa: BLE001 - who wants it to run hears of the error; who waits in vain does not
            log.warning(Event.HOLIDAYS_FAILED, schedule=plan.schedule.name, exc_info=error)
            return False

    return asked


_SUPERSEDED = "another daemon that is alive declares it otherwise, and came later: it is not fired here"
