"""What becomes of due times, decided without a clock: hours are counted from 08:30 of a day, the schedule is hourly."""

from __future__ import annotations

import pytest

from jobsd.expressions import parse
from jobsd.schedule.decide import MOST_COUNTED, MOST_WAITING, decide, next_due
from jobsd.schedule.state import Passed, State
from tests.scheduler.conftest import HOUR_MS, a_schedule

MINUTE_MS = 60_000
NINE = 1_800_003_600_000  # 2027-01-15 09:00 UTC
HALF_PAST_EIGHT = NINE - HOUR_MS // 2


def decided(now, state=None, *, at="@hourly", live=False, is_holiday=None, **options):
    schedule = a_schedule(at, **options)
    begun = State(HALF_PAST_EIGHT, HALF_PAST_EIGHT)
    expression = schedule.expression(begun.anchor)
    return decide(schedule, expression, state or begun, now, live=live, is_holiday=is_holiday)


def hours(*numbers):
    return tuple(NINE + (number - 9) * HOUR_MS for number in numbers)


def test_a_due_time_fires_when_it_has_come_and_not_before():
    assert decided(NINE - 1).fires == ()
    assert decided(NINE).fires == hours(9)


def test_what_was_decided_is_not_decided_again():
    first = decided(NINE)
    assert decided(NINE + 5, first.state).fires == ()
    assert decided(NINE + 5, first.state).next == NINE + HOUR_MS


@pytest.mark.parametrize(
    ("missed", "fires", "passed"),
    [
        ("skip", (), (Passed(*hours(9, 11), 3, "missed"),)),
        ("once", hours(11), (Passed(*hours(9, 10), 2, "missed"),)),
        ("all", hours(9, 10, 11), ()),
    ],
)
def test_after_three_hours_a_policy_says_what_is_made_up_for(missed, fires, passed):
    found = decided(NINE + 2 * HOUR_MS + 30 * MINUTE_MS, missed=missed, overlap="allow")
    assert (found.fires, found.passed) == (fires, passed)
    assert found.state.runs == len(fires)


@pytest.mark.parametrize("missed", ["skip", "once", "all"])
def test_what_is_less_than_a_minute_late_fires_whatever_the_policy(missed):
    assert decided(NINE + MINUTE_MS - 1, missed=missed).fires == hours(9)
    assert decided(NINE + MINUTE_MS, missed="skip").fires == ()


def test_a_late_due_time_is_the_one_that_makes_up_for_those_before():
    found = decided(NINE + 2 * HOUR_MS + 5000, missed="once")
    assert found.fires == hours(11)
    assert found.passed == (Passed(*hours(9, 10), 2, "missed"),)


def test_what_is_older_than_the_window_is_not_made_up_for():
    found = decided(NINE + 5 * HOUR_MS + 30 * MINUTE_MS, missed="all", missed_window_ms=2 * HOUR_MS, overlap="allow")
    assert found.fires == hours(13, 14)
    assert found.passed == (Passed(*hours(9, 12), 4, "missed"),)


def test_no_more_is_made_up_for_than_the_limit_and_that_is_the_latest():
    found = decided(NINE + 5 * HOUR_MS + 30 * MINUTE_MS, missed="all", missed_limit=2, overlap="allow")
    assert found.fires == hours(13, 14)
    assert found.passed == (Passed(*hours(9, 12), 4, "missed"),)


def test_of_a_long_absence_not_each_second_is_counted():
    found = decided(NINE + 24 * HOUR_MS, at="@every 1s", missed="skip")
    [passed] = found.passed
    assert passed.due_times == MOST_COUNTED
    assert (passed.first, passed.last) == (HALF_PAST_EIGHT + 1000, NINE + 24 * HOUR_MS - MINUTE_MS)
    assert len(found.fires) + len(found.waits) == 60


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_what_is_made_up_for_runs_one_by_one_where_runs_may_not_overlap(overlap):
    found = decided(NINE + 2 * HOUR_MS + 30 * MINUTE_MS, missed="all", overlap=overlap)
    assert (found.fires, found.waits) == (hours(9), hours(10, 11))
    assert found.state.waiting == hours(10, 11)
    later = decided(NINE + 2 * HOUR_MS + 31 * MINUTE_MS, found.state, live=True, overlap=overlap)
    assert (later.fires, later.state.waiting) == ((), hours(10, 11))
    last = decided(NINE + 2 * HOUR_MS + 32 * MINUTE_MS, found.state, overlap=overlap)
    assert (last.fires, last.waits, last.state.waiting) == (hours(10), (), hours(11))


def test_a_due_time_at_which_the_run_before_goes_on_is_passed_over():
    assert decided(NINE, live=True).passed == (Passed(*hours(9, 9), 1, "overlap"),)
    assert decided(NINE, live=True, overlap="allow").fires == hours(9)
    queued = decided(NINE, live=True, overlap="queue")
    assert (queued.fires, queued.waits) == ((), hours(9))


def test_while_others_wait_a_new_due_time_is_passed_over_or_waits_behind_them():
    state = State(HALF_PAST_EIGHT, HALF_PAST_EIGHT, waiting=hours(8))
    assert decided(NINE, state).fires == hours(8)
    assert decided(NINE, state).passed == (Passed(*hours(9, 9), 1, "overlap"),)
    assert decided(NINE, state, overlap="queue").state.waiting == hours(9)


@pytest.mark.parametrize(("missed", "waits"), [("skip", ()), ("once", hours(11)), ("all", hours(9, 10, 11))])
def test_what_was_missed_is_made_up_for_also_when_a_run_was_going_on(missed, waits):
    found = decided(NINE + 2 * HOUR_MS + 30 * MINUTE_MS, missed=missed, live=True)
    assert (found.fires, found.waits) == ((), waits)
    assert {one.reason for one in found.passed} <= {"missed"}


def test_what_came_while_nobody_was_there_was_missed_also_if_it_is_late_and_a_run_has_not_ended():
    once = decided(NINE + 2 * HOUR_MS + 5000, missed="once", live=True)
    assert (once.waits, once.passed) == (hours(11), (Passed(*hours(9, 10), 2, "missed"),))
    assert decided(NINE + 2 * HOUR_MS + 5000, missed="all", live=True).waits == hours(9, 10, 11)
    alone = decided(NINE + 11_000, missed="once", live=True)
    assert (alone.waits, alone.passed) == (hours(9), ())
    none = decided(NINE + 11_000, missed="skip", live=True)
    assert (none.waits, none.passed) == ((), (Passed(*hours(9, 9), 1, "missed"),))


def test_what_came_while_somebody_was_there_is_passed_over_for_a_run_that_has_not_ended():
    found = decided(NINE + 9_999, missed="all", live=True)
    assert (found.waits, found.passed) == ((), (Passed(*hours(9, 9), 1, "overlap"),))


def test_a_queue_has_an_end():
    state = State(HALF_PAST_EIGHT, HALF_PAST_EIGHT, waiting=tuple(range(MOST_WAITING)))
    found = decided(NINE, state, live=True, overlap="queue")
    assert found.passed == (Passed(*hours(9, 9), 1, "queue full"),)
    assert len(found.state.waiting) == MOST_WAITING


def test_while_it_is_paused_or_disabled_nothing_is_decided():
    paused = State(HALF_PAST_EIGHT, HALF_PAST_EIGHT, paused_at=NINE - 1)
    assert decided(NINE, paused) == (paused, (), (), (), None)
    assert decided(NINE, enabled=False).fires == ()


def test_what_was_due_while_it_was_paused_is_passed_over_whatever_is_made_up_for():
    resumed = State(HALF_PAST_EIGHT, HALF_PAST_EIGHT, resumed_at=NINE + HOUR_MS + 1)
    found = decided(NINE + 2 * HOUR_MS, resumed, missed="all", overlap="allow")
    assert found.passed == (Passed(*hours(9, 10), 2, "paused"),)
    assert found.fires == hours(11)
    assert found.state.resumed_at is None


def test_what_was_due_before_the_pause_is_decided_as_if_there_had_been_none():
    ten = hours(10)[0]
    resumed = State(HALF_PAST_EIGHT, HALF_PAST_EIGHT, paused_from=ten + 1, resumed_at=hours(12)[0])
    first = decided(NINE + 5 * HOUR_MS, resumed, missed="all", overlap="allow")
    assert (first.fires, first.passed, first.next) == (hours(9, 10), (), NINE + 5 * HOUR_MS)
    second = decided(NINE + 5 * HOUR_MS, first.state, missed="all", overlap="allow")
    assert second.passed == (Passed(*hours(11, 12), 2, "paused"),)
    assert second.fires == hours(13, 14)
    assert (second.state.resumed_at, second.state.paused_from) == (None, None)


def test_due_times_lie_between_start_and_end():
    ten, eleven = hours(10, 11)
    options = {"start_ms": ten, "end_ms": eleven, "missed": "all", "overlap": "allow"}
    assert decided(NINE + 5 * HOUR_MS, **options).fires == hours(10)
    assert decided(NINE + 5 * HOUR_MS, **options).next is None
    assert decided(NINE, **options).next == ten


def test_it_ends_after_so_many_runs():
    found = decided(NINE + 3 * HOUR_MS, missed="all", overlap="allow", max_runs=2)
    assert found.fires == hours(9, 10)
    assert found.next is None
    waiting = decided(NINE + 3 * HOUR_MS, missed="all", max_runs=2)
    assert (waiting.fires, waiting.waits) == (hours(9), hours(10))


def test_what_waits_counts_as_a_run_to_come_where_there_is_an_end_to_them():
    state = State(HALF_PAST_EIGHT, HALF_PAST_EIGHT, runs=1, waiting=hours(8))
    found = decided(NINE, state, live=True, overlap="queue", max_runs=2)
    assert (found.waits, found.state.waiting, found.passed) == ((), hours(8), ())
    assert decided(NINE, state, live=True, overlap="queue", max_runs=3).waits == hours(9)


def test_on_a_holiday_nothing_runs_and_that_is_said():
    found = decided(NINE, is_holiday=lambda due: due == NINE)
    assert (found.fires, found.passed) == ((), (Passed(NINE, NINE, 1, "holiday"),))


def test_what_is_made_up_for_is_the_latest_that_was_no_holiday():
    late = decided(NINE + 2 * HOUR_MS + 30 * MINUTE_MS, is_holiday=lambda due: due == hours(11)[0])
    assert late.fires == hours(10)
    assert late.passed == (Passed(*hours(9, 9), 1, "missed"), Passed(*hours(11, 11), 1, "holiday"))
    on_time = decided(NINE + 2 * HOUR_MS, is_holiday=lambda due: due == hours(11)[0])
    assert on_time.fires == hours(10)


def test_the_next_due_time_is_none_where_it_is_not_to_run():
    schedule, state = a_schedule("@hourly"), State(HALF_PAST_EIGHT, HALF_PAST_EIGHT)
    expression = parse("@hourly")
    assert next_due(schedule, expression, state, NINE - 1) == NINE
    assert next_due(schedule, expression, state._replace(paused_at=1), NINE) is None


def test_a_holiday_that_was_missed_is_told_as_one():
    days = hours(9, 11)
    found = decided(NINE + 3 * HOUR_MS + 30 * MINUTE_MS, missed="all", overlap="allow", is_holiday=days.__contains__)
    assert found.fires == hours(10, 12)
    assert found.passed == tuple(Passed(day, day, 1, "holiday") for day in days)
    all_free = decided(NINE + 2 * HOUR_MS + 30 * MINUTE_MS, missed="all", is_holiday=lambda _: True)
    assert (all_free.fires, all_free.passed) == ((), (Passed(*hours(9, 11), 3, "holiday"),))


@pytest.mark.parametrize(("missed", "many"), [("once", 1), ("all", 100)])
def test_before_a_holiday_of_many_due_times_there_is_a_working_day(missed, many):
    found = decided(
        NINE + 6 * HOUR_MS,
        at="* * * * *",
        missed=missed,
        overlap="allow",
        is_holiday=lambda due: due >= hours(11)[0],
    )
    assert len(found.fires) == many
    assert found.fires[-1] == hours(11)[0] - MINUTE_MS


def test_no_more_is_asked_of_holidays_than_has_to_be_known():
    asked = []
    decided(NINE + 5 * HOUR_MS - MINUTE_MS * 20, missed="once", is_holiday=lambda due: bool(asked.append(due)))
    assert asked == [*hours(13)]


def test_what_is_passed_over_for_a_run_takes_no_run_from_those_that_may_be():
    state = State(NINE, NINE, runs=1)
    found = decided(NINE + 9_000, state, at="@every 1s", live=True, overlap="skip", max_runs=3)
    assert (found.waits, found.passed) == ((), (Passed(NINE + 1000, NINE + 9000, 9, "overlap"),))
