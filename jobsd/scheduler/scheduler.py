"""Sleeps until a schedule is due, looks at how it stands, decides, and writes what was decided with the jobs of it."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from jobsd.clock import monotonic, utc_from_ms
from jobsd.errors import EnqueueError, UnreachableError
from jobsd.events import Event
from jobsd.logger import log
from jobsd.schedule.decide import decide, next_due
from jobsd.schedule.state import Change, Fired, Passed
from jobsd.schedule_jobs import job_of
from jobsd.scheduler.plans import Plans
from jobsd.scheduler.roster import Roster
from jobsd.service import Service
from jobsd.store.connection import AWAY
from jobsd.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jobsd.schedule.decide import Decision
    from jobsd.schedule.definition import Schedule
    from jobsd.schedule.state import Entry, Looked, State, Store
    from jobsd.scheduler.bridge import Bridge
    from jobsd.scheduler.plans import Plan

BEAT_S = 5.0
_NEWS_EVERY_S = 1.0
"""All entries are read no more often than this, whatever is changed in them."""
_MOST = 100
"""Schedules that one tick decides about: more would keep the event loop from others for too long."""
_ASIDE_S = 0.05, 0.2
"""How long a daemon that came second leaves the next due times to whoever came first."""
_WAIT_S = 0.1
_LEFT_MS = 1000
"""When that is looked at again of which something is left to be carried, or which others fire."""
_LATER_MS = 5000
_AT_ONCE_S = 0.01
"""How long it decides before others have their turn in the event loop."""
_TRACED_MS = 120_000
_PATIENCE_MS = 2000
"""How long a due time waits for a Postgres that does not answer."""
_BRIDGED = "schedules go on in Redis, some seconds late; what is decided is carried to Postgres when that is back"


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
        self._roster = Roster(store, self.plans, schedules)
        self._ahead_ms = 0.0
        """The server's time less the monotonic clock's."""
        self._beat_at = self._heard_at = 0.0
        self._aside_s = 0.0
        self._bridged = False
        self._news = asyncio.Event()

    def heard(self) -> None:
        """Look at all entries soon: somebody has changed one."""
        self._beat_at = min(self._beat_at, self._heard_at + _NEWS_EVERY_S)
        self._news.set()

    def stop(self) -> None:
        super().stop()
        self._news.set()

    async def tick(self) -> float | None:
        try:
            await self._tick()
        except AWAY:
            self._roster.unheard()
            raise
        except Exception:  # Postgres is out of reach, or answers and does not do it: its disk is full, for one
            self._roster.unheard()
            self._beat_at = 0.0
            if self._bridge is not None:
                self._say_bridged()
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

    async def _beat(self) -> None:
        carried, left = await self._carry()
        self._set_clock(await self._roster.beat())
        if self._bridge is not None:
            await self._bridge.judged(self._roster.fingerprint, reaches=True)
        self._heard_at = monotonic()
        self._beat_at = self._heard_at + (0 if carried and left else BEAT_S)
        self._bridged = False

    # --- what is due --------------------------------------------------------------------------------------

    async def _fire(self, names: Sequence[str]) -> None:
        carried, left = await self._carry(names)
        if carried:
            self._beat_at = 0.0
        looked = await self._store.look([name for name in names if name not in left])
        self._set_clock(looked.now)
        self._miss(names, looked, left)
        entries = [entry for entry in looked.entries.values() if self._roster.still(entry)]
        decisions, changes = await self._decisions(entries, looked.now)
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

    async def _carry(self, first: Sequence[str] = ()) -> tuple[int, set[str]]:
        """Carry over what was decided while Postgres was away: see Bridge.carry."""
        if self._bridge is None:
            return 0, set()
        carried, left = await self._bridge.carry(self._store, first)
        if carried and not left:
            self._roster.doubt()
        return carried, left

    def _miss(self, names: Sequence[str], looked: Looked, left: set[str]) -> None:
        for name in names:
            if name in left:
                self.plans.again(name, looked.now + _LEFT_MS)
            elif name in looked.unread:
                self.plans.drop(name)
            elif name not in looked.entries:  # it was removed, or Redis has lost everything
                self._roster.doubt()
                self._beat_at = 0.0

    async def _decisions(self, entries: Sequence[Entry], now: int) -> tuple[list[tuple[Entry, Decision]], list[Change]]:
        """Decide about each, and return what is to be written of them."""
        live = await self._live_of(entries)
        decisions: list[tuple[Entry, Decision]] = []
        changes: list[Change] = []
        began = monotonic()
        for entry in entries:
            judged = self._judge(entry.schedule.name, entry.version, entry.state, now, live)
            if judged is None:
                continue
            change, decision = judged
            decisions.append((entry, decision))
            if change is not None:
                changes.append(change)
            if monotonic() - began > _AT_ONCE_S:
                await asyncio.sleep(0)
                began = monotonic()
        return decisions, changes

    def _judge(
        self, name: str, version: int, state: State, now: int, live: set[str]
    ) -> tuple[Change | None, Decision] | None:
        """Decide about one; None: it cannot be fired, which must not keep others from it."""
        plan = self.plans[name]
        try:
            decision = _decide(plan, state, now, live=state.last_job in live)
            return self._change(plan.schedule, version, state, decision, now), decision
        except Exception as error:  # noqa: BLE001 - of a later version of jobsd, perhaps
            self._roster.refuse(name, error)
            return None

    async def _fire_meanwhile(self, bridge: Bridge) -> None:
        """Fire what is overdue in Redis, all of it: Postgres does not do it."""
        others = await bridge.judged(self._roster.fingerprint, reaches=False)
        while not self.stopping and (names := self.plans.due(self._now() - _PATIENCE_MS, _MOST)):
            ours = [name for name in names if not self._is_fired_by(others, name)]
            for name in set(names).difference(ours):
                self.plans.again(name, self._now() + _LEFT_MS)
            if ours:
                await self._fire_some_meanwhile(bridge, ours)

    def _is_fired_by(self, others: set[str], name: str) -> bool:
        """Say whether a daemon fires it that is not cut off from Postgres, and knows what was decided there."""
        runtime = self.plans[name].schedule.source == "runtime"
        return bool(others) if runtime else self._roster.fingerprint in others

    async def _fire_some_meanwhile(self, bridge: Bridge, names: Sequence[str]) -> None:
        now = self._now()  # that of Postgres: the clock of Redis may be another
        stands = await bridge.stand({name: self.plans[name] for name in names})
        live = await self._live_meanwhile([spare.state for spare in stands.values() if spare.state.last_job], now)
        changes: dict[str, tuple[Change | None, Decision]] = {}
        for name, spare in stands.items():
            plan = self.plans[name]
            if spare.version == 0 and _was_due(plan, spare.state) < now - _TRACED_MS:
                # We were not there either: what others have fired by then Redis may have forgotten. Postgres knows.
                self.plans.again(name, now + _LATER_MS)
                continue
            judged = self._judge(name, spare.version, spare.state, now, live)
            if judged is not None:
                changes[name] = judged
        applied = await bridge.spares.apply([change for change, _ in changes.values() if change is not None])
        for name, (change, decision) in changes.items():
            if change is None:
                self.plans.note(name, stands[name].state, decision.next)
            elif name in applied:
                self._say(change)
                self.plans.note(name, change.state, decision.next)
            else:  # somebody else is at it in this moment
                self.plans.again(name, now + int(_WAIT_S * 1000))

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

    def _say_bridged(self) -> None:
        if not self._bridged and len(self.plans):
            self._bridged = True
            log.warning(Event.SCHEDULES_BRIDGED, schedules=len(self.plans), consequence=_BRIDGED)

    def _say(self, change: Change) -> None:
        for one in change.fired:
            log.debug(Event.SCHEDULE_FIRED, schedule=change.name, due_ms=one.due, job_id=one.job.id)
        for one in change.passed:
            log.info(Event.SCHEDULE_PASSED, schedule=change.name, due_times=one.due_times, cause=one.reason)

    # --- time -----------------------------------------------------------------------------------------------

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


def _was_due(plan: Plan, state: State) -> int:
    """Return its first due time that is not decided, or an instant beyond all."""
    after = max(state.cursor, state.resumed_at or 0)
    return next_due(plan.schedule, plan.expression, state, after) or 2**53


def _decide(plan: Plan, state: State, now: int, *, live: bool) -> Decision:
    return decide(plan.schedule, plan.expression, state, now, live=live, is_holiday=_holidays(plan))


def _holidays(plan: Plan) -> Callable[[int], bool] | None:
    is_holiday = plan.schedule.is_holiday
    if is_holiday is None:
        return None
    zone = zone_named(plan.schedule.zone)

    def asked(due: int) -> bool:
        try:
            answer: object = is_holiday(utc_from_ms(due).astimezone(zone))
            return _truth(answer)
        # Who wants it to run hears of the error; who waits in vain does not. Nothing that it raises is meant for us.
        except (Exception, asyncio.CancelledError, SystemExit) as error:  # noqa: BLE001
            log.warning(Event.HOLIDAYS_FAILED, schedule=plan.schedule.name, exc_info=error)
            return False

    return asked


def _truth(answer: object) -> bool:
    """Return it. A coroutine, for one, would be true for ever."""
    if isinstance(answer, bool):
        return answer
    msg = f"it says {answer!r}, which is neither true nor false"
    raise TypeError(msg)
