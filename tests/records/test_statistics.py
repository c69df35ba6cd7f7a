from __future__ import annotations

import asyncio
import random
import statistics
from datetime import timedelta

import pytest

from jobsd.records import History
from jobsd.records.folding import MOST, fold, forget
from jobsd.records.inserting import as_json
from jobsd.records.queries import query
from jobsd.records.writing import write
from tests.records.ledger import NOON, NOON_MS, a_ledger, a_record
from tests.waiting import until

HOUR_MS = 3_600_000
HOUR = timedelta(hours=1)


def runs(outcomes, **facts):
    return [
        a_record(job_id=f"j{n}", outcome=outcome, transition=transition, **facts)
        for n, (outcome, transition) in enumerate(outcomes)
    ]


async def test_every_outcome_is_counted_and_those_of_each_task_and_hour_apart(ledger_url):
    outcomes = [
        ("succeeded", "completed"),
        ("failed", "retry"),
        ("failed", "archived"),
        ("timed_out", "retry"),
        ("snoozed", "scheduled"),
        ("dropped", "removed"),
        ("cancelled", "archived"),
        ("interrupted", "requeued"),
        ("lost", "requeued"),
        ("expired", "archived"),
    ]
    async with a_ledger(ledger_url) as pool:
        await write(pool, runs(outcomes))
        await write(pool, [a_record(task="other"), a_record(job_id="later", started_at=NOON_MS + HOUR_MS)])
        history = History(pool)
        first, other = await history.statistics(since=NOON, until=NOON + HOUR)
        hours = await history.statistics(since=NOON, until=NOON + 2 * HOUR, step="hour")
    assert (first.task, first.at, first.runs) == ("email:send", NOON, 10)
    assert (first.succeeded, first.failures, first.timed_out) == (1, 3, 1)
    assert (first.snoozed, first.dropped, first.cancelled) == (1, 1, 1)
    assert (first.interrupted, first.lost, first.expired) == (1, 1, 1)
    assert (first.retries, first.archived) == (2, 3)
    assert (other.task, other.runs) == ("other", 1)
    assert [(found.task, found.at, found.runs) for found in hours] == [
        ("email:send", NOON, 10),
        ("email:send", NOON + HOUR, 1),
        ("other", NOON, 1),
    ]


@pytest.mark.parametrize("folded", [False, True])
async def test_lengths_are_at_most_a_twentieth_off(folded, ledger_url):
    drawn = random.Random(5)
    lengths = [round(drawn.lognormvariate(5, 1.5)) + 1 for _ in range(2_000)]
    waits = [round(drawn.lognormvariate(3, 1)) + 1 for _ in range(2_000)]
    records = [
        a_record(job_id=f"j{n}", scheduled_for=NOON_MS - wait, finished_at=NOON_MS + length)
        for n, (length, wait) in enumerate(zip(lengths, waits, strict=True))
    ]
    async with a_ledger(ledger_url) as pool:
        for start in range(0, len(records), 300):
            await write(pool, records[start : start + 300])
            if folded:
                await fold(pool)
        [found] = await History(pool).statistics(since=NOON)
    assert found.runs == 2_000
    assert found.mean_s == pytest.approx(statistics.mean(lengths) / 1000)
    for drawn_ms, quantiles in (
        (lengths, (found.p50_s, found.p95_s, found.p99_s)),
        (waits, (found.wait_p50_s, found.wait_p95_s, found.wait_p99_s)),
    ):
        exact = statistics.quantiles(drawn_ms, n=100, method="inclusive")
        for quantile, n in zip(quantiles, (50, 95, 99), strict=True):
            assert quantile == pytest.approx(exact[n - 1] / 1000, rel=0.06)


async def test_a_run_of_no_length_and_one_of_months_have_their_place(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await write(pool, [a_record(finished_at=NOON_MS)])
        await write(pool, [a_record(job_id="long", finished_at=NOON_MS + 100 * 24 * HOUR_MS)])
        [found] = await History(pool).statistics(since=NOON)
    assert found.p50_s == 0.001
    assert found.p99_s == pytest.approx(100 * 86_400, rel=0.05)


async def test_what_only_was_lost_has_no_length(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await write(pool, runs([("lost", "requeued"), ("expired", "archived")]))
        [found] = await History(pool).statistics(since=NOON)
    assert (found.runs, found.mean_s, found.p50_s, found.p99_s) == (2, None, None, None)
    assert found.wait_p50_s is not None


async def test_a_run_that_was_taken_for_lost_is_counted_once(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await write(pool, runs([("lost", "requeued")]))
        await fold(pool)
        await write(pool, runs([("succeeded", "completed")]))
        for _ in range(2):
            [found] = await History(pool).statistics(since=NOON)
            assert (found.runs, found.lost, found.succeeded) == (1, 0, 1)
            await fold(pool)


async def test_a_better_outcome_that_began_to_be_written_before_the_loss_was_is_counted_once(ledger_url):
    """Its statement waits for another's row, and is then the older of the two by the clock."""
    async with a_ledger(ledger_url) as pool, a_ledger(ledger_url) as other:
        waits = [a_record(job_id="a"), a_record(job_id="z")]
        async with other.transaction() as connection:
            await connection.execute(query("insert_executions"), [as_json(waits[0].execution).decode()])
            better = asyncio.create_task(write(pool, waits))
            await until(lambda: pool.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
            await write(pool, [a_record(job_id="z", outcome="lost", transition="requeued")])
        await better
        [found] = await History(pool).statistics(since=NOON)
    assert (found.runs, found.succeeded, found.lost) == (2, 2, 0)


async def test_a_record_that_comes_twice_is_counted_once(ledger_url):
    async with a_ledger(ledger_url) as pool:
        assert (await write(pool, [a_record()])).rows == 1
        assert (await write(pool, [a_record(), a_record(job_id="other")])).rows == 1
        [found] = await History(pool).statistics(since=NOON)
    assert found.runs == 2


async def test_folding_by_many_at_once_while_others_write_counts_everything_once(ledger_url):
    async with a_ledger(ledger_url) as pool:

        async def writes(writer: int) -> None:
            for n in range(20):
                await write(pool, [a_record(job_id=f"{writer}-{n}-{job}") for job in range(5)])

        async def folds() -> None:
            for _ in range(20):
                await fold(pool)

        await asyncio.gather(writes(1), writes(2), folds(), folds())
        [before] = await History(pool).statistics(since=NOON)
        while await fold(pool):
            pass
        [after] = await History(pool).statistics(since=NOON)
        left = await pool.fetchval("SELECT count(*) FROM jobsd.statistics_changes")
        assert await pool.fetchval("SELECT count(*) FROM jobsd.statistics") == 2  # an hour and a day
    assert (before.runs, after.runs, left) == (200, 200, 0)
    assert before == after


async def test_a_call_takes_no_more_than_it_says(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await write(pool, [a_record()])
        more = (
            "INSERT INTO jobsd.statistics_changes SELECT c.* FROM jobsd.statistics_changes AS c, generate_series(1, $1)"
        )
        await pool.execute(more, MOST)
        assert [await fold(pool) for _ in range(3)] == [MOST, 1, 0]


async def test_days_and_queues_can_be_told_apart(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await write(pool, [a_record(job_id=f"j{n}", started_at=NOON_MS + n * 9 * HOUR_MS) for n in range(4)])
        await write(pool, [a_record(job_id="m", queue="mails")])
        history = History(pool)
        days = await history.statistics(since=NOON - HOUR, until=NOON + 48 * HOUR, step="day")
        assert [(found.at.isoformat(), found.runs) for found in days] == [
            ("2026-11-22T00:00:00+00:00", 3),
            ("2026-11-23T00:00:00+00:00", 2),
        ]
        [mails] = await history.statistics(since=NOON, queue="mails")
        assert mails.runs == 1
        assert await history.statistics(since=NOON, task="unknown") == []


@pytest.mark.parametrize(
    ("since", "until", "runs"),
    [(0, 96, 96), (12, 84, 72), (12, 12.5, 1), (13, 23, 10), (11.5, 36, 25), (36, 48, 12), (0, 24, 24), (-50, 0, 0)],
)
async def test_whole_days_and_the_hours_around_them_are_each_counted_once(since, until, runs, ledger_url):
    """Days from midnight to midnight are summed up beforehand; a run each hour, for four days from midnight on."""
    midnight, midnight_ms = NOON - 12 * HOUR, NOON_MS - 12 * HOUR_MS
    async with a_ledger(ledger_url) as pool:
        await write(pool, [a_record(job_id=f"j{n}", started_at=midnight_ms + n * HOUR_MS) for n in range(96)])
        for _ in range(2):  # not folded yet, and folded
            found = await History(pool).statistics(since=midnight + since * HOUR, until=midnight + until * HOUR)
            assert sum(one.runs for one in found) == runs
            await fold(pool)


async def test_failures_that_are_alike_are_one_group_with_its_first_and_its_last(ledger_url):
    failed = {"outcome": "failed", "transition": "retry", "error_type": "ValueError"}
    async with a_ledger(ledger_url) as pool:
        history = History(pool)
        await write(pool, [a_record(job_id="a", fingerprint="one", message="first", **failed)])
        await fold(pool)
        later = NOON_MS + 5_000
        await write(
            pool,
            [
                a_record(job_id="b", fingerprint="one", message="last", started_at=later, **failed),
                a_record(job_id="c", fingerprint="two", started_at=NOON_MS - 5_000, **failed),
                a_record(job_id="d"),
            ],
        )
        for _ in range(2):  # not folded yet, and folded
            one, two = await history.errors()
            assert (one.task, one.fingerprint, one.failures, one.error_type) == ("email:send", "one", 2, "ValueError")
            assert (one.first_seen_at, one.last_seen_at) == (NOON, NOON + timedelta(seconds=5))
            assert (one.job_id, one.message) == ("b", "last")
            assert (two.fingerprint, two.failures) == ("two", 1)
            assert [group.fingerprint for group in await history.errors(since=NOON)] == ["one"]
            assert await history.errors(task="other") == []
            assert len(await history.errors(limit=1)) == 1
            await fold(pool)
        await write(pool, [a_record(job_id="old", fingerprint="one", message="old", started_at=NOON_MS - 9, **failed)])
        one, _ = await history.errors()
        assert (one.job_id, one.message, one.failures) == ("b", "last", 3)


async def test_old_hours_and_failures_are_forgotten(ledger_url):
    failed = {"outcome": "failed", "transition": "retry", "error_type": "E", "fingerprint": "f"}
    async with a_ledger(ledger_url) as pool:
        history = History(pool)
        await write(pool, [a_record(**failed), a_record(job_id="new", started_at=NOON_MS + 2 * HOUR_MS)])
        await fold(pool)
        assert await forget(pool, statistics_before=NOON + HOUR, errors_before=NOON) == 2
        assert [found.at for found in await history.statistics(since=NOON, step="hour")] == [NOON + 2 * HOUR]
        assert len(await history.errors()) == 1
        assert await forget(pool, statistics_before=NOON, errors_before=NOON + HOUR) == 1
        assert await history.errors() == []
