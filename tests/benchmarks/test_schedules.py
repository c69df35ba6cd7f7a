"""What the measure of schedules takes for granted of those that it makes."""

from __future__ import annotations

from benchmarks.schedules_worker import a_schedule
from jobsd.schedule.options import schedule_of

_DUE = 1_795_437_000
_A_WEEK_MS = 7 * 86_400_000


def test_its_schedules_are_all_due_at_the_one_instant_and_long_not_again():
    name, written = a_schedule(7, _DUE)
    expression = schedule_of(name, written, source="config").expression(0)
    assert expression.between(_DUE * 1000 - _A_WEEK_MS, _DUE * 1000 + _A_WEEK_MS, 10) == [_DUE * 1000]
