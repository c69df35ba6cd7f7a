from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.delays import fixed
from jobsd.engine.decide import Policy, decide
from jobsd.outcome import (
    Archive,
    Cancelled,
    Complete,
    Dropped,
    Failed,
    Interrupted,
    LeaseLost,
    LetGo,
    Park,
    Remove,
    Requeue,
    RetryAt,
    ScheduleAt,
    Snoozed,
    Succeeded,
    TimedOut,
    UnknownTask,
)

if TYPE_CHECKING:
    from jobsd.outcome import Outcome, Transition

NOW = 1_800_000_000_000
FIRST = Policy(failures=0, retries=2, backoff=fixed("5s"))
LAST = Policy(failures=2, retries=2, backoff=fixed("5s"))


@pytest.mark.parametrize(
    ("policy", "outcome", "transition"),
    [
        (FIRST, Succeeded({"n": 1}), Complete({"n": 1})),
        (FIRST, Failed("ValueError", "no"), RetryAt(NOW + 5000)),
        (FIRST, Failed("Retry", "later", delay_ms=70), RetryAt(NOW + 70)),
        (FIRST, Failed("Retry", "at once", delay_ms=0), RetryAt(NOW)),
        (FIRST, Failed("SkipRetry", "never", for_good=True), Archive("never")),
        (FIRST, TimedOut(1500), RetryAt(NOW + 5000)),
        (LAST, Failed("ValueError", "no"), Archive("no")),
        (LAST, Failed("Retry", "later", delay_ms=70), Archive("later")),
        (LAST, TimedOut(1500), Archive("timed out after 1.5 s")),
        (LAST, Failed("InDoubtError", "who knows", in_doubt=True), RetryAt(NOW + 5000)),
        (LAST._replace(deadline=NOW), Failed("InDoubtError", "?", delay_ms=70, in_doubt=True), RetryAt(NOW + 70)),
        (LAST, Snoozed(9), ScheduleAt(NOW + 9)),
        (LAST, Interrupted(), Requeue()),
        (LAST, Dropped("enough"), Remove()),
        (FIRST, Cancelled("cancelled"), Archive("cancelled")),
        (LAST, UnknownTask("later"), Park("task:later")),
        (LAST, LeaseLost(), LetGo()),
        (Policy(0, 0, fixed("1s")), Failed("ValueError", "no"), Archive("no")),
    ],
)
def test_each_outcome_leads_to_one_transition(policy: Policy, outcome: Outcome, transition: Transition) -> None:
    found = decide(policy, outcome, now=NOW)
    assert found == transition
    assert type(found) is type(transition)


_failures = st.one_of(
    st.builds(
        Failed,
        st.just("ValueError"),
        st.just("no"),
        st.none(),
        st.none() | st.integers(0, 10**6),
        st.just(value=False),
        st.just(value=True),
        st.just(value=False),
    ),
    st.builds(TimedOut, st.integers(1, 10**6), st.none(), st.just(value=False)),
)
_free = st.one_of(st.builds(Snoozed, st.integers(0, 10**6)), st.just(Interrupted()), st.just(UnknownTask("t")))


@given(st.integers(0, 8), st.lists(st.one_of(_failures, _free), max_size=60))
def test_failures_alone_use_up_retries(retries: int, outcomes: list[Outcome]) -> None:
    failures = 0
    for outcome in outcomes:
        found = decide(Policy(failures, retries, fixed("1s")), outcome, now=NOW)
        if isinstance(outcome, Failed | TimedOut):
            failures += 1
            assert isinstance(found, Archive if failures == retries + 1 else RetryAt)
        else:
            assert not isinstance(found, Archive | RetryAt)
        if isinstance(found, Archive):
            break
    assert failures <= retries + 1
