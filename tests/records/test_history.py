from __future__ import annotations

from datetime import timedelta

from jobsd.records.history import TaskSummary, page, summary
from jobsd.records.writing import write, write_as_sent
from tests.records.ledger import NOON, NOON_MS, a_ledger, a_record


async def ids(pool, **wanted) -> list[str]:
    return [f"{e.job_id}/{e.attempt}" for e in (await page(pool, **wanted)).executions]


async def test_a_row_is_read_back_as_it_was_recorded(database_url):
    async with a_ledger(database_url) as pool:
        await write(pool, [a_record()])
        found = await page(pool)
    [execution] = found.executions
    assert found.more is None
    assert (execution.job_id, execution.success, execution.duration_s) == ("job-1", True, 1.234)
    assert execution.started_at == NOON
    assert execution.args == {"args": ["a@example.com"], "kwargs": {"subject": "Hi"}}
    assert execution.result_data == {"sent": True}


async def test_the_newest_come_first_and_by_job_task_and_outcome(database_url):
    failed = {"outcome": "failed", "transition": "retry"}
    async with a_ledger(database_url) as pool:
        await write(pool, [a_record(job_id="a", **failed), a_record(job_id="b", task="other", started_at=NOON_MS + 1)])
        await write(pool, [a_record(job_id="a", attempt=2, started_at=NOON_MS + 2)])
        assert await ids(pool) == ["a/2", "b/1", "a/1"]
        assert await ids(pool, job_id="a") == ["a/2", "a/1"]
        assert await ids(pool, task="other") == ["b/1"]
        assert await ids(pool, outcome="failed") == ["a/1"]
        assert await ids(pool, job_id="a", outcome="expired") == []


async def test_pages_follow_on_each_other_even_within_one_ms_and_across_months(database_url):
    records = [a_record(job_id=f"j{n:02}", started_at=NOON_MS - (n // 4) * 86_400_000 * 20) for n in range(23)]
    seen, place = [], None
    async with a_ledger(database_url) as pool:
        await write(pool, records)
        while True:
            found = await page(pool, after=place, limit=5)
            seen += [execution.job_id for execution in found.executions]
            if (place := found.more) is None:
                break
    assert len(seen) == 23
    assert set(seen) == {record.execution.job_id for record in records}


async def test_a_page_that_ends_with_the_last_row_promises_no_more(database_url):
    async with a_ledger(database_url) as pool:
        await write(pool, [a_record(attempt=n) for n in (1, 2, 3)])
        assert (await page(pool, limit=3)).more is None
        assert (await page(pool, limit=2)).more is not None


async def test_the_summary_counts_what_became_of_the_attempts_of_each_task(database_url):
    outcomes = [("failed", "retry"), ("timed_out", "retry"), ("lost", "requeued"), ("failed", "archived")]
    runs = [
        a_record(job_id=f"ok-{n}", started_at=NOON_MS + n, finished_at=NOON_MS + n + n * 1000) for n in range(1, 101)
    ]
    runs += [
        a_record(job_id=f"no-{n}", task="report", outcome=outcome, transition=transition, finished_at=NOON_MS + 2000)
        for n, (outcome, transition) in enumerate(outcomes)
    ]
    runs += [a_record(job_id="before", task="report", started_at=NOON_MS - 1)]
    runs += [a_record(job_id="gone", task="silent", outcome="lost", transition="archived")]
    async with a_ledger(database_url) as pool:
        await write(pool, runs)
        email, report, silent = await summary(pool, NOON)
        assert await summary(pool, NOON + timedelta(days=1)) == []
    assert (email.task, email.runs, email.succeeded, email.retries, email.failures) == ("email:send", 100, 100, 0, 0)
    assert (email.p50_s, email.p95_s) == (50.5, 95.05)
    assert report == TaskSummary(task="report", runs=4, succeeded=0, retries=2, failures=3, p50_s=2.0, p95_s=2.0)
    assert silent == TaskSummary(task="silent", runs=1, succeeded=0, retries=0, failures=0, p50_s=None, p95_s=None)


async def test_a_number_too_long_for_python_stops_no_page(database_url):
    async with a_ledger(database_url) as pool:
        value = a_record(args="HERE").raw.replace(b'"HERE"', b"[1e5000,-1e5000,1e400]")
        assert await write_as_sent(pool, [value]) == 1
        [execution] = (await page(pool)).executions
    assert execution.args == [float("inf"), -float("inf"), 10**400]
