"""Schedules go on while Postgres, their judge, is away: in Redis, from where this daemon saw them last.

A due time's job has one id and one incarnation whoever makes it, and Redis knows those that came through the outbox. So
what was fired in Postgres a moment before is not fired again. What was decided meanwhile is carried to Postgres before
anything more is fired there.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from jobsd.events import Event
from jobsd.logger import log
from jobsd.schedule.decide import MOST_COUNTED
from jobsd.schedule.state import Change
from jobsd.store import spare_schedules
from jobsd.store.spare_schedules import Spare, past_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobsd.schedule.state import Entry, Past, State, Store
    from jobsd.scheduler.plans import Plan
    from jobsd.store.spare_schedules import SpareSchedules


class Bridge:
    def __init__(self, spares: SpareSchedules) -> None:
        self.spares = spares

    async def stand(self, plans: Mapping[str, Plan]) -> tuple[int, dict[str, Spare]]:
        """Return Redis' time, epoch ms, and how far each has come, here or where it was planned."""
        now, spares = await self.spares.look(list(plans))
        return now, {name: _further(spares.get(name), plan.state) for name, plan in plans.items()}

    async def carry(self, store: Store) -> bool:
        """Carry to ``store`` what was decided meanwhile; say whether anything was."""
        if not await self.spares.any():
            return False
        _, spares = await self.spares.look()
        lines = await self.spares.lines()
        more = len(lines) >= spare_schedules.MOST_LINES
        past: dict[str, list[Past]] = defaultdict(list)
        for line in map(past_of, lines):
            past[line.name].append(line)
        names = spares.keys() | past.keys()
        looked = await store.look(list(names))
        changes: list[Change] = []
        for name, entry in looked.entries.items():
            state = entry.state
            if more:  # what the next lot tells is not decided yet
                state = _come_to(state, past[name])
            elif name in spares:
                state = _joined(state, spares[name].state)
            changes.append(Change(name, entry.version, state, carried=_undecided(past[name], entry)))
        applied = await store.apply(changes)
        here = looked.entries.keys() | looked.unread.keys()  # what a later version can read, it carries
        done = {name for name in names if name in applied or name not in here}
        carried = [line for line in lines if past_of(line).name in done]
        over = {} if more else {name: spare for name, spare in spares.items() if name in done}
        await self.spares.forget(over, carried)
        if applied:
            due_times = sum(len(past[name]) for name in applied)
            log.info(Event.SCHEDULES_CARRIED, schedules=len(applied), due_times=due_times)
        return bool(done)  # what others are changing in this moment is carried later, and keeps no other waiting


def _undecided(lines: Sequence[Past], entry: Entry) -> list[Past]:
    """Return them without what was decided in Postgres before: whoever passed it over in Redis may not have known."""
    cursor = entry.state.cursor
    found: list[Past] = []
    for line in lines:
        if line.state != "passed" or line.last is None or line.due > cursor:
            found.append(line)
        elif dues := entry.schedule.expression(entry.state.anchor).between(cursor, line.last, MOST_COUNTED):
            found.append(line._replace(due=dues[0], due_times=len(dues)))
    return found


def _come_to(state: State, lines: Sequence[Past]) -> State:
    return state._replace(cursor=max([state.cursor, *(line.last or line.due for line in lines)]))


def _further(spare: Spare | None, planned: State) -> Spare:
    if spare is None:
        return Spare(0, planned)
    return spare if spare.state.cursor >= planned.cursor else Spare(spare.version, planned)


def _joined(kept: State, meanwhile: State) -> State:
    """Return how far it has come. A pause that was said in between counts."""
    if meanwhile.cursor <= kept.cursor:
        return kept
    return meanwhile._replace(
        anchor=kept.anchor,
        paused_at=kept.paused_at,
        paused_by=kept.paused_by,
        resumed_at=kept.resumed_at,
        paused_from=kept.paused_from,
    )
