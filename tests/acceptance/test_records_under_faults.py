"""A short form of ``make chaos``: Postgres dies, daemons die, connections are cut, and the ledger has every attempt."""

from __future__ import annotations

import pytest

from tests.chaos.faults import Plan
from tests.chaos.laws import Row, held_against
from tests.chaos.records import run

_PLAN = Plan(kills=2, stops=1, restarts=1, away_s=(0.2, 0.4), cut_every_s=(0.1, 0.3))


@pytest.mark.slow
async def test_every_attempt_has_one_row_and_is_counted_once_whatever_dies_meanwhile() -> None:
    said: list[str] = []
    ran = await run(3_000, _PLAN, daemons=2, seed=1, say=said.append, altered=("hasty",))
    assert ran.verdict.broken == [], "\n".join(said)
    assert (ran.met.kills, ran.met.stops, ran.met.restarts) == (2, 1, 1)
    assert ran.met.connections > 0
    # Some of those that were lost had begun, which only the witness knows.
    assert ran.verdict.outcomes["lost"] > ran.verdict.unbegun["lost"]
    assert ran.verdict.rows == ran.verdict.attempts + ran.verdict.unbegun.total()


_BEGUN = [("a", 1), ("a", 2), ("b", 1)]
_ROWS = [
    Row("a", 1, "failed", "retry"),
    Row("a", 2, "succeeded", "completed"),
    Row("b", 1, "succeeded", "completed"),
]
_LOST, _AGAIN = Row("b", 0, "lost", "requeued"), Row("b", 1, "lost", "requeued")


def test_rows_that_are_as_they_should_be_break_no_promise() -> None:
    verdict = held_against(2, _BEGUN, [*_ROWS, _LOST])
    assert (verdict.broken, verdict.attempts, verdict.rows) == ([], 3, 4)
    assert verdict.unbegun == {"lost": 1}


@pytest.mark.parametrize(
    ("begun", "rows", "broken"),
    [
        ([*_BEGUN, ("a", 1)], _ROWS, ["1 attempts began twice: ('a', 1)"]),
        (_BEGUN, _ROWS[1:], ["1 attempts have no row: ('a', 1)"]),
        (_BEGUN, [*_ROWS, _AGAIN], ["1 attempts have more than one row: ('b', 1)"]),
        (
            _BEGUN,
            [*_ROWS, Row("b", 2, "failed", "retry")],
            ["1 rows are of runs that never began, and say otherwise: ('b', 2, 'failed')"],
        ),
        (
            _BEGUN,
            [*_ROWS[:1], Row("a", 2, "failed", "archived"), *_ROWS[2:]],
            [
                "1 jobs have no ending: a",
                "1 jobs have an ending, and 2 were enqueued",
                "1 rows say succeeded, and there are 2 jobs",
            ],
        ),
        (
            [*_BEGUN, ("b", 2)],
            [*_ROWS, Row("b", 2, "cancelled", "completed")],
            ["1 jobs have more than one ending: b"],
        ),
        (
            _BEGUN[:2],
            _ROWS[:2],
            ["1 jobs have an ending, and 2 were enqueued", "1 rows say succeeded, and there are 2 jobs"],
        ),
    ],
    ids=["began twice", "no row", "two rows", "never began", "no ending", "two endings", "job gone"],
)
def test_every_broken_promise_is_told_in_words(begun, rows, broken) -> None:
    assert held_against(2, begun, rows).broken == broken
