from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from jobsd.errors import NotConfiguredError, SchemaError, UnreachableError
from jobsd.records import History, Place, open_history
from jobsd.records.writing import write, write_as_sent
from tests.records.ledger import NOON, NOON_MS, a_ledger, a_record


async def ids(pool, **wanted) -> list[str]:
    return [f"{e.job_id}/{e.attempt}" for e in (await History(pool).executions(**wanted)).executions]


async def test_a_row_is_read_back_as_it_was_recorded(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await write(pool, [a_record()])
    async with open_history(ledger_url) as history:
        found = await history.executions()
    [execution] = found.executions
    assert found.more is None
    assert (execution.job_id, execution.success, execution.duration_s) == ("job-1", True, 1.234)
    assert execution.started_at == NOON
    assert execution.args == {"args": ["a@example.com"], "kwargs": {"subject": "Hi"}}
    assert execution.result_data == {"sent": True}
    assert execution.altered is False


async def test_the_newest_come_first_and_by_all_that_can_be_asked_for(ledger_url):
    failed = {"outcome": "failed", "transition": "retry", "fingerprint": "f" * 16}
    facts = {"queue": "mails", "schedule_id": "daily", "batch_id": "import"}
    async with a_ledger(ledger_url) as pool:
        await write(pool, [a_record(job_id="a", **failed), a_record(job_id="b", task="other", started_at=NOON_MS + 1)])
        await write(pool, [a_record(job_id="a", attempt=2, started_at=NOON_MS + 2, **facts)])
        assert await ids(pool) == ["a/2", "b/1", "a/1"]
        assert await ids(pool, job_id="a") == ["a/2", "a/1"]
        assert await ids(pool, task="other") == ["b/1"]
        assert await ids(pool, queue="mails") == ["a/2"]
        assert await ids(pool, schedule="daily") == ["a/2"]
        assert await ids(pool, batch="import") == ["a/2"]
        assert await ids(pool, outcome="failed") == ["a/1"]
        assert await ids(pool, outcome="succeeded") == ["a/2", "b/1"]
        assert await ids(pool, fingerprint="f" * 16) == ["a/1"]
        assert await ids(pool, job_id="a", outcome="expired") == []
        millisecond = timedelta(milliseconds=1)
        assert await ids(pool, since=NOON + millisecond) == ["a/2", "b/1"]
        assert await ids(pool, until=NOON + millisecond) == ["a/1"]


@pytest.mark.parametrize("asked", [{}, {"task": "email:send"}, {"outcome": "succeeded", "since": NOON}])
async def test_pages_follow_on_each_other_even_within_one_ms_and_across_months(asked, ledger_url):
    records = [a_record(job_id=f"j{n:02}", started_at=NOON_MS + (n // 4) * 86_400_000 * 20) for n in range(23)]
    seen, place = [], None
    async with a_ledger(ledger_url) as pool:
        await write(pool, records)
        while True:
            found = await History(pool).executions(after=place, limit=5, **asked)
            seen += [execution.job_id for execution in found.executions]
            if found.more is None:
                break
            place = Place.parse(str(found.more))
    assert len(seen) == 23
    assert set(seen) == {record.execution.job_id for record in records}


async def test_a_page_that_ends_with_the_last_row_promises_no_more(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await write(pool, [a_record(attempt=n) for n in (1, 2, 3)])
        history = History(pool)
        assert (await history.executions(limit=3)).more is None
        assert (await history.executions(limit=2)).more is not None


@pytest.mark.parametrize("text", ["", "yesterday,5", "2026-11-23T10:00:00,5", "2026-11-23T10:00:00+00:00", "1,2,3"])
def test_a_place_that_was_not_printed_by_a_page_is_refused(text):
    with pytest.raises(ValueError, match=f"'{re.escape(text)}' is no place in the history"):
        Place.parse(text)


async def test_an_outcome_that_there_is_not_is_refused_before_postgres_is_asked():
    async with open_history("postgresql://nowhere.invalid/x") as history:
        with pytest.raises(ValueError, match=r"\"' OR true\" is no outcome; there are succeeded, failed, timed_out"):
            await history.executions(outcome="' OR true")


async def test_the_environment_says_where_the_ledger_is(ledger_url, monkeypatch):
    monkeypatch.delenv("JOBSD_DATABASE_URL", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(NotConfiguredError, match="no address for Postgres: set JOBSD_DATABASE_URL"):
        async with open_history():
            pass
    async with a_ledger(ledger_url) as pool:
        await write(pool, [a_record()])
    monkeypatch.setenv("DATABASE_URL", ledger_url)
    async with open_history() as history:
        assert len((await history.executions()).executions) == 1


async def test_what_cannot_be_asked_is_said_before_postgres_is_asked():
    noon = datetime(2026, 11, 22, 12)  # noqa: DTZ001 - that is what is wrong with it
    async with open_history("postgresql://nowhere.invalid/x") as history:
        with pytest.raises(ValueError, match="limit is 0; at least 1"):
            await history.executions(limit=0)
        for asked in (history.executions(since=noon), history.statistics(since=noon), history.errors(since=noon)):
            with pytest.raises(ValueError, match="2026-11-22T12:00:00 has no zone"):
                await asked
        with pytest.raises(ValueError, match="'week' is no step; there are hour, day, all"):
            await history.statistics(since=NOON, step="week")


async def test_a_database_without_the_ledger_names_the_command(database_url):
    async with open_history(database_url) as history:
        with pytest.raises(SchemaError, match="is not of this version, or not for this role: relation"):
            await history.executions()


async def test_a_ledger_out_of_reach_is_one_error(tmp_path):
    async with open_history(f"postgresql:///x?host={tmp_path}") as history:
        with pytest.raises(UnreachableError, match="Postgres"):
            await history.statistics(since=datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_number_too_long_for_python_stops_no_page(ledger_url):
    async with a_ledger(ledger_url) as pool:
        value = a_record(args="HERE").raw.replace(b'"HERE"', b"[1e5000,-1e5000,1e400]")
        assert await write_as_sent(pool, [value]) == 1
        [execution] = (await History(pool).executions()).executions
    assert execution.args == [float("inf"), -float("inf"), 10**400]
