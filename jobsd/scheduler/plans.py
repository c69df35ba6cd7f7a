"""What is due next: a heap of schedules by the time at which they are to be decided about."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

from jobsd.schedule.decide import next_due

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.expressions import Expression
    from jobsd.schedule.definition import Schedule
    from jobsd.schedule.state import Entry, State

_MOST_STALE = 1000
"""So many places of the heap may be out of date, or half of them."""


class Plan(NamedTuple):
    """A schedule that this daemon fires. ``schedule`` is its own, with what no store can keep (``is_holiday``)."""

    schedule: Schedule
    written: Schedule
    """The same as it stands in the store."""
    expression: Expression
    state: State
    """As it was last seen."""


class Plans:
    def __init__(self) -> None:
        self._plans: dict[str, Plan] = {}
        self._heap: list[tuple[int, str]] = []
        self._at: dict[str, int] = {}
        """When each is to be decided about: what else the heap has of it is out of date."""

    def __len__(self) -> int:
        return len(self._plans)

    def __contains__(self, name: str) -> bool:
        return name in self._plans

    def names(self) -> Iterable[str]:
        return self._plans.keys()

    def __getitem__(self, name: str) -> Plan:
        return self._plans[name]

    def get(self, name: str) -> Plan | None:
        return self._plans.get(name)

    def plan(self, entry: Entry, schedule: Schedule) -> None:
        """Fire it from now on, as the entry stands."""
        known = self._plans.get(entry.schedule.name)
        if known is not None and known.written == entry.schedule and known.state.anchor == entry.state.anchor:
            expression = known.expression
        else:
            expression = schedule.expression(entry.state.anchor)
        self._plans[schedule.name] = Plan(schedule, entry.schedule, expression, entry.state)
        due = next_due(schedule, expression, entry.state, entry.state.cursor)
        if entry.state.waiting or entry.state.resumed_at is not None:
            due = entry.state.cursor
        self.again(schedule.name, due)

    def note(self, name: str, state: State, due: int | None) -> None:
        """Note what was decided, and when to decide again."""
        self._plans[name] = self._plans[name]._replace(state=state)
        self.again(name, due)

    def again(self, name: str, due: int | None) -> None:
        if due is None:
            self._at.pop(name, None)
        elif self._at.get(name) != due:
            self._at[name] = due
            heapq.heappush(self._heap, (due, name))
            if len(self._heap) > _MOST_STALE + 2 * len(self._at):
                self._heap = [(at, one) for one, at in self._at.items()]
                heapq.heapify(self._heap)

    def drop(self, name: str) -> None:
        self._plans.pop(name, None)
        self._at.pop(name, None)

    def soonest(self) -> int | None:
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: int, most: int) -> list[str]:
        """Return the names of those that are due, the longest overdue first. They stay in the heap."""
        found: list[tuple[int, str]] = []
        while len(found) < most and (at := self.soonest()) is not None and at <= now:
            found.append(heapq.heappop(self._heap))
            self._at.pop(found[-1][1])
        for at, name in found:
            self.again(name, at)
        return [name for _, name in found]
