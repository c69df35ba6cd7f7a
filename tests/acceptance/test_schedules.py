"""A short form of ``make chaos``: each due time is one job, whatever dies or is emptied, however wrong clocks are."""

from __future__ import annotations

import pytest

from tests.chaos import schedules
from tests.chaos.schedule_laws import Facts, Line, Row, Span, judge, late_ms
from tests.chaos.schedules import DOUBLES, QUIET, Crew

_PLAN = QUIET._replace(kills=2, flushes=1, crashes=1, away_s=(0.1, 0.3))
_SECONDS = 12
_CREW = Crew(daemons=3, lease="1s", starts_s=4, altered=("hasty",))
_UNJUDGED = _CREW._replace(daemons=2)


@pytest.mark.slow
async def test_each_due_time_is_one_job_whatever_fails_and_however_wrong_clocks_are() -> None:
    said: list[str] = []
    ran = await schedules.run(_SECONDS, _PLAN, _CREW, seed=1, say=said.append)
    assert ran.verdict.broken == [], "\n".join(said)
    assert ran.met == {"kill -9 of a daemon": 2, "FLUSHALL": 1, "Postgres crashed": 1}
    assert {*ran.skews_s} == {0, 90, -90}
    assert ran.verdict.fired >= _SECONDS
    assert ran.verdict.passed > 0


@pytest.mark.slow
@pytest.mark.parametrize("redis_only", [False, True], ids=["postgres", "redis"])
async def test_where_nobody_judges_due_times_become_two_jobs_and_that_is_seen(redis_only) -> None:
    ran = await schedules.run(2, QUIET, _UNJUDGED, seed=1, say=print, control=True, redis_only=redis_only)
    assert any(DOUBLES in words for words in ran.verdict.broken), ran.verdict


_DUES = {"each": [1000, 2000, 3000], "skipping": [2000, 4000, 6000], "queueing": [5000]}
_LINES = [
    Line(what, schedule, due, f"{schedule}-{due}", due / 1000 + after_s)
    for schedule, due in (("each", 1000), ("each", 2000), ("each", 3000), ("skipping", 2000), ("queueing", 5000))
    for what, after_s in (("begun", 0.1), ("done", 4.5 if schedule == "skipping" else 0.2))
]
_FACTS = Facts(
    overlaps={"each": "allow", "skipping": "skip", "queueing": "queue"},
    dues=_DUES,
    rows=[
        *[Row("each", due, due, 1, "fired") for due in _DUES["each"]],
        Row("skipping", 2000, 2000, 1, "fired"),
        Row("skipping", 4000, 6000, 2, "passed", "overlap"),
        Row("queueing", 5000, 5000, 1, "fired"),
    ],
    lines=_LINES,
    spans=[],
    effects=[(line.schedule, line.due) for line in _LINES if line.what == "done"],
    endings=[(line.key, "succeeded") for line in _LINES if line.what == "done"],
)
_AGAIN = Line("begun", "each", 2000, "each-2000", 2.5)
_KILL, _FLUSH = Span("kill -9 of a daemon", 2.2, 2.4), Span("FLUSHALL", 2.2, 2.2)


def test_schedules_that_are_as_they_should_be_break_no_promise() -> None:
    verdict = judge(_FACTS)
    assert verdict.broken == []
    assert (verdict.due_times, verdict.fired, verdict.passed, verdict.runs) == (7, 5, 2, 5)


def test_a_run_that_was_lost_may_come_again() -> None:
    verdict = judge(_FACTS._replace(lines=[*_LINES, _AGAIN], spans=[_KILL]))
    assert verdict.broken == []
    assert verdict.ran_again == 1


def test_a_job_that_redis_lost_between_its_end_and_its_record_may_end_again() -> None:
    endings = [*(_FACTS.endings or []), ("each-2000", "succeeded")]
    verdict = judge(_FACTS._replace(endings=endings, spans=[_FLUSH]))
    assert verdict.broken == []
    assert verdict.ended_again == 1


def test_lateness_is_that_of_first_runs_at_calm_times() -> None:
    assert late_ms(_FACTS, ["each"], 0) == pytest.approx([100, 100, 100])
    assert late_ms(_FACTS._replace(lines=[*_LINES, _AGAIN]), ["each"], 0) == pytest.approx([100, 100, 100])
    assert late_ms(_FACTS, ["each"], 0.5) == pytest.approx([600, 600, 600])  # the wall's clock is ahead of the other
    assert late_ms(_FACTS._replace(spans=[_KILL]), ["each"], 0) == pytest.approx([100])


def _rows(*others: Row, without: Row | None = None) -> Facts:
    return _FACTS._replace(rows=[*[row for row in _FACTS.rows if row != without], *others])


@pytest.mark.parametrize(
    ("facts", "broken"),
    [
        (
            _rows(without=_FACTS.rows[1]),
            ["1 due times have no row: each at 2000", "1 due times were run, and never fired: each at 2000"],
        ),
        (_rows(_FACTS.rows[1]), ["1 due times have more than one row: each at 2000"]),
        (
            _rows(_FACTS.rows[4]._replace(due_times=3), without=_FACTS.rows[4]),
            ["1 rows are of other due times than they count: skipping at 4000"],
        ),
        (
            _rows(_FACTS.rows[4]._replace(reason="missed"), without=_FACTS.rows[4]),
            ["1 due times were passed over for no good reason: skipping at 4000"],
        ),
        (
            _rows(_FACTS.rows[5]._replace(state="waiting"), without=_FACTS.rows[5]),
            [
                "1 due times wait still: queueing at 5000",
                "1 due times were run, and never fired: queueing at 5000",
            ],
        ),
        (
            _FACTS._replace(lines=[*_LINES, _AGAIN._replace(key="another")], spans=[_KILL]),
            ["1 due times have become more than one job: each at 2000"],
        ),
        (
            _FACTS._replace(lines=[line for line in _LINES if line.due != 1000]),
            [
                "1 due times were fired, and never run: each at 1000",
            ],
        ),
        (_FACTS._replace(lines=[*_LINES, _AGAIN]), ["1 due times ran again, and nothing had failed: each at 2000"]),
        (
            _FACTS._replace(
                dues={**_DUES, "skipping": [2000]},
                rows=[row for row in _FACTS.rows if row.schedule == "each" or row.state == "fired"],
                lines=[line._replace(schedule="skipping") if line.schedule == "queueing" else line for line in _LINES],
            ),
            None,
        ),
        (
            _FACTS._replace(effects=[*(_FACTS.effects or []), ("each", 3000)]),
            ["1 due times have more than one effect: each at 3000"],
        ),
        (
            _FACTS._replace(effects=(_FACTS.effects or [])[1:]),
            ["1 due times were fired, and have no effect: each at 1000"],
        ),
        (
            _FACTS._replace(endings=(_FACTS.endings or [])[1:]),
            ["1 due times have no ending in the ledger: each at 1000"],
        ),
        (
            _FACTS._replace(endings=[*(_FACTS.endings or [])[1:], ("each-1000", "failed")]),
            ["1 due times ended otherwise than with success: each at 1000"],
        ),
        (
            _FACTS._replace(endings=[*(_FACTS.endings or []), ("each-1000", "succeeded")]),
            ["1 due times ended twice, and Redis had lost nothing: each at 1000"],
        ),
    ],
    ids=[
        "no row",
        "two rows",
        "miscounted",
        "no reason",
        "waits",
        "two jobs",
        "never run",
        "ran again",
        "overlap",
        "effects",
        "no effect",
        "no ending",
        "failed",
        "ended twice",
    ],
)
def test_every_broken_promise_of_schedules_is_told_in_words(facts, broken) -> None:
    found = judge(facts).broken
    if broken is None:
        assert "1 runs of a schedule overlap: skipping at 5000" in found
    else:
        assert found == broken
