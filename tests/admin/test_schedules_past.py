"""The history of schedules, asked where Redis keeps it and where Postgres does."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from jobsd.clock import now_ms, utc_from_ms
from jobsd.delays import fixed
from jobsd.errors import InvalidOptionError
from jobsd.schedule.state import Change, Passed
from tests.admin.bureau import a_schedule
from tests.engine.hall import a_task
from tests.waiting import until


async def test_what_was_passed_over_is_in_the_history_with_the_reason(bureau):
    await bureau.declare(a_schedule())
    entry = await bureau.entry()
    at = now_ms() - 7_200_000
    passed = [Passed(at, at + 3_600_000, 2, "missed"), Passed(at + 7_200_000, at + 7_200_000, 1, "overlap")]
    assert await bureau.store.apply([Change("nightly", entry.version, entry.state, passed=passed)])
    latest, before = await bureau.schedules.history("nightly")
    assert (latest.state, latest.reason, latest.due_times) == ("passed", "the run before had not ended", 1)
    assert (before.reason, before.due_times) == ("missed: no daemon was there to fire it", 2)
    assert (before.due_at, before.lateness, before.outcome) == (utc_from_ms(at), None, None)
    assert [line.due_times for line in await bureau.schedules.history(limit=1)] == [1]


async def test_the_history_can_be_asked_for_what_was_passed_over_and_from_when_on(bureau):
    await bureau.declare(a_schedule())
    entry = await bureau.entry()
    at = now_ms() // 1000 * 1000 - 7_200_000
    passed = [Passed(at, at + 3_600_000, 2, "missed"), Passed(at - 7_200_000, at - 7_200_000, 1, "overlap")]
    assert await bureau.store.apply([Change("nightly", entry.version, entry.state, passed=passed)])
    await bureau.schedules.trigger("nightly", wait=None)

    async def asked(since_ms: int | None = None, **options) -> list[str]:
        since = None if since_ms is None else utc_from_ms(since_ms)
        lines = await bureau.schedules.history("nightly", since=since, **options)
        assert lines == list(await bureau.schedules.history(since=since, **options))
        return [line.reason or line.state for line in lines]

    missed, overlap = "missed: no daemon was there to fire it", "the run before had not ended"
    assert await asked() == ["fired", missed, overlap]
    assert await asked(passed=True) == [missed, overlap]
    assert await asked(passed=True, limit=1) == [missed]
    # What was passed over in a row counts by its latest.
    assert await asked(at + 3_600_000) == ["fired", missed]
    assert await asked(at + 3_600_001) == ["fired"]
    assert await asked(at + 3_600_001, passed=True) == []
    with pytest.raises(InvalidOptionError, match=r"option 'since' is .*; allowed is a datetime with a zone"):
        await bureau.schedules.history(since=datetime(2026, 11, 23))  # noqa: DTZ001


async def test_a_run_that_goes_on_after_an_attempt_has_failed_has_not_ended(bureau):
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def tidy(ctx) -> None:
        if ctx.attempt == 1:
            raise ValueError("the disk is full")
        begun.set()
        await may_end.wait()

    bureau.work(a_task(tidy, retries=1, backoff=fixed(timedelta(0))))
    await bureau.declare(a_schedule())
    await bureau.schedules.trigger("nightly", wait=None)
    await begun.wait()

    async def stands(*expected: object) -> None:
        async def so() -> bool:
            [line] = await bureau.schedules.history("nightly")
            return (line.live, line.outcome, line.attempts) == expected

        await until(so)

    # Without a ledger nobody has written down how the first attempt has ended.
    await stands(True, *(("failed", 1) if bureau.ledger else (None, 0)))
    may_end.set()
    await stands(False, "succeeded", 2)
