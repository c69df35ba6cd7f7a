"""Decides what becomes of a schedule's due times. Pure: the same facts lead to the same decision on every daemon.

A due time that is not a minute old is *late*: it becomes a job as if it were on time, whatever the policies say of
missed ones. What is older was *missed*. Where a late one would be passed over for a run that has not ended, it has to
be known whether anybody was there when it came: if one is older than ten seconds nobody was, and all were missed.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from jobsd.schedule.state import Passed, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobsd.expressions import Expression
    from jobsd.schedule.definition import Schedule

LATE_MS = 60_000
"""How late a due time may be before the policy for missed ones holds."""
ABSENT_MS = 10_000
"""How late a due time is decided at the most where a daemon is there."""
LOOK_AGAIN_MS = 500
"""After what time it is asked again whether a run has ended that others wait for."""
MOST_WAITING = 1000
_MOST_ASKED = 1500
"""Missed due times of which it is asked whether they are on a holiday: a day of them, one a minute."""
MOST_COUNTED = 100
"""Passed-over due times beyond these are not counted one by one."""
MISSED, PAUSED, OVERLAP, HOLIDAY, FULL = "missed", "paused", "overlap", "holiday", "queue full"


class Decision(NamedTuple):
    """``fires`` become jobs now, ``waits`` when the run before has ended. ``next``: when to decide again; None: never.

    ``state`` is that of the schedule if all of it is written; the caller adds the last job.
    """

    state: State
    fires: tuple[int, ...] = ()
    passed: tuple[Passed, ...] = ()
    waits: tuple[int, ...] = ()
    next: int | None = None


def decide(
    schedule: Schedule,
    expression: Expression,
    state: State,
    now: int,
    *,
    live: bool,
    is_holiday: Callable[[int], bool] | None = None,
) -> Decision:
    """Decide about all due times up to ``now``. ``live``: the schedule's last job has not ended."""
    if not schedule.enabled or state.paused_at is not None:
        return Decision(state)
    after = state.cursor if schedule.start_ms is None else max(state.cursor, schedule.start_ms - 1)
    until = now if schedule.end_ms is None else min(now, schedule.end_ms - 1)
    passed: list[Passed] = []
    resumed_at, paused_from = state.resumed_at, state.paused_from
    if resumed_at is not None and paused_from is not None and state.cursor < paused_from:
        until = min(until, paused_from)  # first what was due before the pause
    elif resumed_at is not None:
        resumed_at, paused_from = None, None
        paused = min(state.resumed_at or until, until)
        passed += _passed(expression, after, paused, PAUSED)
        after = max(after, paused)
    asked = is_holiday or _never
    late_from = max(after, now - LATE_MS)
    if (
        (live or state.waiting)
        and schedule.overlap == "skip"
        and _is_due(expression, after, min(until, now - ABSENT_MS))
    ):
        late_from = max(after, until)
    late = _working(expression.between(late_from, until, MOST_WAITING), asked, passed)
    missed = _missed(
        schedule, expression, after, min(until, late_from), passed, now=now, late=bool(late), is_holiday=asked
    )
    fires, waiting = _in_turn(schedule, state, missed, late, passed, live=live)
    state = state._replace(
        cursor=max(state.cursor, until if resumed_at is None else paused_from or until),
        runs=state.runs + len(fires),
        waiting=waiting,
        resumed_at=resumed_at,
        paused_from=paused_from,
    )
    waits = tuple(one for one in waiting if one in missed or one in late)
    return Decision(state, fires, tuple(passed), waits, _next(schedule, expression, state, now))


def next_due(schedule: Schedule, expression: Expression, state: State, after: int) -> int | None:
    """Return the first due time after ``after`` that may become a job; None: there is none, or not as things stand."""
    if not schedule.enabled or state.paused_at is not None:
        return None
    if schedule.max_runs is not None and state.runs + len(state.waiting) >= schedule.max_runs:
        return None
    if schedule.start_ms is not None:
        after = max(after, schedule.start_ms - 1)
    found = expression.next(after)
    return None if found is None or (schedule.end_ms is not None and found >= schedule.end_ms) else found


def _next(schedule: Schedule, expression: Expression, state: State, now: int) -> int | None:
    if state.resumed_at is not None:
        return now
    due = next_due(schedule, expression, state, max(now, state.cursor))
    if not state.waiting:
        return due
    return now + LOOK_AGAIN_MS if due is None else min(due, now + LOOK_AGAIN_MS)


def _missed(
    schedule: Schedule,
    expression: Expression,
    after: int,
    until: int,
    passed: list[Passed],
    *,
    now: int,
    late: bool,
    is_holiday: Callable[[int], bool],
) -> list[int]:
    """Return the missed due times in (after, until] that are caught up; note the others.

    Where there is a ``late`` one, that is the once for which the missed ones are made up.
    """
    if until <= after:
        return []
    limit = {"skip": 0, "once": 0 if late else 1, "all": schedule.missed_limit}[schedule.missed]
    chosen, free = _latest_working(expression, max(after, now - schedule.missed_window_ms), until, limit, is_holiday)
    asked = sorted(chosen | free)
    passed += _passed(expression, after, asked[0] - 1 if asked else until, MISSED)
    for is_free, group in groupby(asked, free.__contains__):
        dues = list(group)
        passed += [Passed(dues[0], dues[-1], len(dues), HOLIDAY)] if is_free else []
    return sorted(chosen)


def _latest_working(
    expression: Expression, after: int, until: int, limit: int, is_holiday: Callable[[int], bool]
) -> tuple[set[int], set[int]]:
    """Return the latest due times in (after, until] that are on no holiday, and the holidays from there on."""
    chosen, free = set[int](), set[int]()
    most = limit if is_holiday is _never else max(limit, MOST_COUNTED)
    while len(chosen) < limit and len(free) < _MOST_ASKED:
        lot = expression.between(after, until, most, latest=True)
        for due in reversed(lot):
            (free if is_holiday(due) else chosen).add(due)
            if len(chosen) == limit:
                break
        if len(lot) < most:
            break
        until = lot[0] - 1
    return chosen, free


def _working(due: Sequence[int], is_holiday: Callable[[int], bool], passed: list[Passed]) -> list[int]:
    """Return those that are on no holiday; note the others."""
    free = [one for one in due if is_holiday(one)]
    passed += [Passed(one, one, 1, HOLIDAY) for one in free]
    return [one for one in due if one not in free]


def _is_due(expression: Expression, after: int, until: int) -> bool:
    """Say whether there is a due time in (after, until]."""
    due = expression.next(after)
    return due is not None and due <= until


def _never(_: int) -> bool:
    return False


def _passed(expression: Expression, after: int, until: int, reason: str) -> list[Passed]:
    if until <= after:
        return []
    found = expression.between(after, until, MOST_COUNTED)
    if not found:
        return []
    last = found[-1] if len(found) < MOST_COUNTED else expression.previous(until + 1) or found[-1]
    return [Passed(found[0], last, len(found), reason)]


def _in_turn(
    schedule: Schedule, state: State, missed: Sequence[int], late: Sequence[int], passed: list[Passed], *, live: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return which fire now and which wait. Where runs may not overlap, one fires at the most.

    What is due together was kept waiting by us, not by a run: it is run one by one. So is what was missed.
    """
    due = [*missed, *late]
    if schedule.overlap == "skip" and (live or state.waiting):
        due = list(missed)
        if late:
            passed.append(Passed(late[0], late[-1], len(late), OVERLAP))
    if schedule.max_runs is not None:
        due = due[: max(0, schedule.max_runs - state.runs - len(state.waiting))]
    if schedule.overlap == "allow":
        return (*state.waiting, *due), ()
    room = MOST_WAITING - len(state.waiting)
    waiting = [*state.waiting, *due[:room]]
    passed += [Passed(one, one, 1, FULL) for one in due[room:]]
    if live or not waiting:
        return (), tuple(waiting)
    return (waiting[0],), tuple(waiting[1:])
