"""Which schedules a daemon fires: those that it declares and that stand so in the store, and those of run time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.events import Event
from jobsd.logger import log
from jobsd.schedule.declared import fingerprint_of
from jobsd.schedule.state import Change
from jobsd.scheduler.telling import tell_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.schedule.definition import Schedule
    from jobsd.schedule.state import Entry, Looked, Store
    from jobsd.scheduler.plans import Plans

_ALL_S = 300.0
"""All entries are looked at so often, whatever was told of them."""
_SETTLED_S = 30.0
_AT_ONCE = 100
_SUPERSEDED = "another daemon that is alive declares it otherwise, and came later: it is not fired here"


class Roster:
    """``schedules`` are those that this daemon declares. What it fires is in ``plans``."""

    def __init__(self, store: Store, plans: Plans, schedules: Sequence[Schedule]) -> None:
        self._store = store
        self._plans = plans
        self._ours = {schedule.name: schedule for schedule in schedules}
        self._written = {name: schedule.as_stored() for name, schedule in self._ours.items()}
        self.fingerprint = fingerprint_of(schedules)
        self._declared = self._told = False
        self._started_at = 0.0
        self._seen = ""
        """What the last beat told of all entries."""
        self._others: str | None = None
        """What it told of other daemons; None: all entries are to be read."""
        self._known: dict[str, str] = {}
        """How all entries stood when they were read last (Store.standing)."""
        self._all_at = 0.0
        self._settled_at: float | None = None
        """Until then, others may not have said yet that they are alive."""
        self._superseded: set[str] = set()
        self._refused: dict[str, str] = {}

    async def beat(self) -> int:
        """Say that we are alive, look at all entries if there is news, and return the server's time, epoch ms."""
        if not self._declared:
            await self._store.declare(list(self._ours.values()), self.fingerprint, at_start=True)
            self._declared, self._started_at = True, monotonic()
        beat = await self._store.beat(self.fingerprint, self._age_ms())
        if self._settled_at is None:
            self._settled_at = monotonic() + _SETTLED_S
        if beat.others != self._others or monotonic() >= self._all_at:
            self._known, self._all_at = {}, monotonic() + _ALL_S
        elif beat.entries == self._seen:
            return beat.now
        self._seen, self._others = beat.entries, beat.others
        try:
            await self._look()
        except BaseException:
            self.doubt()
            raise
        if not self._told:
            self._told = True
            await tell_of(self._ours, self._plans, beat.now)
        return beat.now

    def doubt(self) -> None:
        """Look at all entries with the next beat."""
        self._others = None

    def unheard(self) -> None:
        """Note that for a time nobody could say that he is alive."""
        self._settled_at = None

    def still(self, entry: Entry) -> bool:
        """Say whether it is as it was planned; if not, plan it anew."""
        plan = self._plans.get(entry.schedule.name)
        if plan is not None and plan.written == entry.schedule:
            return True
        self._plan(entry)
        return False

    def _age_ms(self) -> int:
        return int((monotonic() - self._started_at) * 1000)

    async def _look(self) -> None:
        """Look at those entries that stand otherwise than when they were read last."""
        standing = await self._store.standing()
        others = [name for name, mark in standing.items() if self._known.get(name) != mark]
        looked = await self._store.look(others if self._known else None)
        for name in set(self._plans.names()) - standing.keys() - self._ours.keys():
            self._plans.drop(name)
        self._known = standing
        await self._take_in(looked, [schedule for name, schedule in self._ours.items() if name not in standing])

    async def _take_in(self, looked: Looked, missing: Sequence[Schedule]) -> None:
        """Plan what is ours to fire, and no more what is not; declare what nobody does."""
        for name, cause in looked.unread.items():
            self.refuse(name, ValueError(cause))
        left = [
            self._ours[name] for name, entry in looked.entries.items() if name in self._ours and self._is_left(entry)
        ]
        if missing or left:
            await self._store.declare([*missing, *left], self.fingerprint, at_start=False, age_ms=self._age_ms())
            await self._restore(await self._store.look([schedule.name for schedule in missing]))
            looked = await self._store.look()
        for number, entry in enumerate(looked.entries.values(), 1):
            self._plan(entry)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)

    def _is_left(self, entry: Entry) -> bool:
        """Say whether it is for us to declare: its daemons are gone, or it stands otherwise.

        Whose word counts then the store knows. After a time in which nobody could say that he is alive, all are given
        the time to say so.
        """
        if entry.declared:
            return not self._is_ours(entry)
        if self._settled_at is None or monotonic() < self._settled_at:
            self.doubt()
            return False
        return True

    async def _restore(self, looked: Looked) -> None:
        """Let what a Redis without memory begins anew go on from where it was seen last."""
        changes: list[Change] = []
        for name, entry in looked.entries.items():
            plan, state = self._plans.get(name), entry.state
            if plan is not None and state.cursor == state.anchor and not state.last_job:
                changes.append(Change(name, entry.version, plan.state))
        await self._store.apply(changes)

    def _plan(self, entry: Entry) -> None:
        name = entry.schedule.name
        ours = self._ours.get(name)
        if entry.schedule.source == "runtime":
            schedule = entry.schedule
        elif ours is not None and self._is_ours(entry):
            schedule = ours
            self._superseded.discard(name)
        else:
            self._plans.drop(name)
            if ours is not None and name not in self._superseded:
                self._superseded.add(name)
                log.warning(Event.SCHEDULE_SUPERSEDED, schedule=name, consequence=_SUPERSEDED)
            return
        try:
            self._plans.plan(entry, schedule)
        except Exception as error:  # noqa: BLE001 - of a later version of jobsd, perhaps
            self.refuse(name, error)

    def refuse(self, name: str, error: Exception) -> None:
        """Fire it no more, and say so once."""
        self._plans.drop(name)
        cause = str(error) or repr(error)
        if self._refused.get(name) != cause:
            self._refused[name] = cause
            log.error(Event.SCHEDULE_REFUSED, schedule=name, cause=cause)

    def _is_ours(self, entry: Entry) -> bool:
        return self._written[entry.schedule.name] == entry.schedule
