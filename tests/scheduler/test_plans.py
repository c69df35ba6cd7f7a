"""What is planned takes room for itself, and not for what was removed or moved."""

from __future__ import annotations

import sys

from jobsd.schedule.state import Entry, State
from jobsd.scheduler.plans import Plans
from tests.scheduler.conftest import HOUR_MS, a_schedule


def test_what_was_removed_long_before_it_was_due_takes_no_room():
    plans = Plans()
    first = a_schedule("@every 1h", name="first")
    plans.plan(Entry(first, State(0, 0), 1), first)
    once = a_schedule("@every 24h", name="once")
    for _ in range(20_000):
        plans.plan(Entry(once, State(0, 0), 1), once)
        plans.drop("once")
    assert sys.getsizeof(plans._heap) < 50_000
    assert plans.soonest() == HOUR_MS
    assert plans.due(HOUR_MS, 10) == ["first"]
