"""Schedules go on while Postgres, their judge, is away: in Redis, from where this daemon saw them last.

A due time's job has one id and one incarnation whoever makes it, and Redis knows those that came through the outbox. So
what was fired in Postgres a moment before is not fired again. A daemon that alone is cut off from Postgres leaves
schedules to those that are not. What was decided meanwhile is carried to Postgres before anything more is fired there.
"""

from __future__ import annotations

import random
import secrets
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

_AT_ONCE = 100
"""Schedules that are carried together."""
_UNREAD = "a later version has decided about it while Postgres was away, and is to carry that over before it fires"
_KEPT_MS = 86_400_000
"""How long that is kept which Postgres has not: it may be of another database, of which this Redis is, too."""


class Bridge:
    def __init__(self, spares: SpareSchedules) -> None:
        self.spares = spares
        self._token = secrets.token_hex(6)
        self._refused: set[str] = set()

    async def judged(self, fingerprint: str, *, reaches: bool) -> set[str]:
        """Note whether this daemon reaches Postgres; return the fingerprints of what others declare who do."""
        ours = f"{fingerprint} {self._token}"
        told = await self.spares.judges(ours, reaches=reaches)
        return {daemon.partition(" ")[0] for daemon in told if daemon != ours}

    async def stand(self, plans: Mapping[str, Plan]) -> dict[str, Spare]:
        """Return how far each has come, here or where it was planned."""
        spares = await self.spares.look(list(plans))
        return {name: _further(spares.get(name), plan.state) for name, plan in plans.items()}

    async def carry(self, store: Store, first: Sequence[str] = ()) -> tuple[int, set[str]]:
        """Carry to ``store`` what was decided meanwhile, of some schedules, these ``first``.

        Return of how many something was, and which there are of which something is left to be carried: others are
        changing them in this moment, this version cannot read them, or it is too much for once.
        """
        names = await self.spares.names()
        if not names:
            return 0, set()
        chosen = _some(names, first)
        spares, looked = await self.spares.look(chosen), await store.look(chosen)
        lines = await self.spares.lines([name for name in spares if name not in looked.unread])
        past = {name: _read(lines[name]) for name in lines}
        asked = [(name, due) for name, read in past.items() for due in (*_fired(read), *spares[name].state.waiting)]
        known: dict[str, set[int]] = defaultdict(set)
        for name, due in await store.fired(asked):
            known[name].add(due)
        changes: list[Change] = []
        gone: list[str] = []
        unread = {name for name in chosen if name not in spares}
        for name, read in past.items():
            entry, meanwhile = looked.entries.get(name), spares[name].state
            if entry is None:
                gone += [name] if meanwhile.cursor < looked.now - _KEPT_MS else []
                continue
            more = len(lines[name]) > spare_schedules.MOST_LINES
            change = None if read is None else _carried(entry, meanwhile, read, known[name], more=more)
            if change is None:
                unread.add(name)
            else:
                changes.append(change)
        applied = await store.apply(changes)
        most = spare_schedules.MOST_LINES
        done = {name: (spares[name], lines[name][:most]) for name in (*applied, *gone)}
        if done:
            await self.spares.forget(done)
        if applied:
            due_times = sum(len(done[name][1]) for name in applied)
            log.info(Event.SCHEDULES_CARRIED, schedules=len(applied), due_times=due_times)
        left = await self.spares.names()
        self._refuse(unread & left)
        return len(done), left

    def _refuse(self, names: set[str]) -> None:
        for name in names - self._refused:
            log.error(Event.SCHEDULE_REFUSED, schedule=name, cause=_UNREAD)
        self._refused |= names


def _some(names: set[str], first: Sequence[str]) -> list[str]:
    """Return what is carried together. Others are carrying, too, and some can be carried by nobody: it is drawn."""
    chosen = [name for name in first if name in names][:_AT_ONCE]
    rest = list(names.difference(chosen))
    return chosen + random.sample(rest, min(len(rest), _AT_ONCE - len(chosen)))


def _read(lines: Sequence[bytes]) -> list[Past] | None:
    """Return as many as are carried together; None: a later version has written one, and is to carry them."""
    try:
        return [past_of(line) for line in lines[: spare_schedules.MOST_LINES]]
    except (ValueError, TypeError):
        return None


def _fired(lines: Sequence[Past] | None) -> list[int]:
    return [line.due for line in lines or () if line.state == "fired" and not line.manual]


def _carried(entry: Entry, meanwhile: State, lines: Sequence[Past], known: set[int], *, more: bool) -> Change | None:
    """Return what becomes of the entry. Postgres has fired the due times ``known``; there are ``more`` lines.

    None: a later version has written some of it.
    """
    try:
        carried = _undecided(lines, entry)
    except ValueError:
        return None
    fired = set(_fired(lines))
    before = _without(entry.state, fired)
    # Where there are more lines, what those tell is not decided yet.
    state = _come_to(before, lines) if more else _joined(before, _without(meanwhile, fired | known))
    state = state._replace(runs=before.runs + len(fired - known))
    waits = [due for due in state.waiting if due not in before.waiting]
    return Change(entry.schedule.name, entry.version, state, carried=carried, waits=waits)


def _without(state: State, fired: set[int]) -> State:
    return state._replace(waiting=tuple(due for due in state.waiting if due not in fired))


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
    """Return how far it has come: in Redis, and in Postgres, where it may have been paused or changed in between."""
    last = meanwhile if (meanwhile.last_due or 0) > (kept.last_due or 0) else kept
    return kept._replace(
        cursor=max(kept.cursor, meanwhile.cursor),
        waiting=tuple(sorted({*kept.waiting, *meanwhile.waiting})),
        last_job=last.last_job,
        last_queue=last.last_queue,
        last_due=last.last_due,
    )
