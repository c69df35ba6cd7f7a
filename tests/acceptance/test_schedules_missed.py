"""Everything was down for three hours of an hourly schedule: what runs when it is back is what the schedule says."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.clock import utc_from_ms
from jobsd.records.pool import open_pool
from jobsd.records.schedules import PostgresSchedules
from jobsd.schedule.state import Change
from jobsd.store.connection import connect
from jobsd.store.schedules import RedisSchedules
from tests.acceptance.witness import RECORDED, told, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from jobsd.schedule.state import Store

_HOUR_MS = 3_600_000
_MISSED = "skip", "once", "all"
_SCHEDULE = """
[cron.{missed}]
task = "tell_due"
at = "{minute} * * * *"
missed = "{missed}"
"""


@asynccontextmanager
async def _store(redis_url: str, database_url: str | None) -> AsyncIterator[Store]:
    if database_url is None:
        async with connect(redis_url) as redis:
            yield RedisSchedules(redis)
    else:
        pool = await open_pool(database_url)
        yield PostgresSchedules(pool)
        await pool.close()


async def _set_back(store: Store, by_ms: int) -> None:
    """Let the last due times that were decided lie so long ago."""
    entries = (await store.look()).entries
    changes = [
        Change(name, entry.version, entry.state._replace(cursor=entry.state.cursor - by_ms, anchor=0))
        for name, entry in entries.items()
    ]
    assert await store.apply(changes) == {*_MISSED}


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [True, False], ids=["postgres", "redis"])
async def test_three_hours_down_lead_to_no_run_to_one_or_to_three(
    daemon: Any, redis_url: str, ledger_url: str, tmp_path: Path, recorded
) -> None:
    minute = (time.gmtime().tm_min + 30) % 60  # none is due while the test runs
    (tmp_path / "jobsd.toml").write_text("".join(_SCHEDULE.format(missed=missed, minute=minute) for missed in _MISSED))
    database_url = ledger_url if recorded else None
    env = RECORDED | {"JOBSD_DATABASE_URL": database_url or ""}
    async with _store(redis_url, database_url) as store:

        async def declared() -> bool:
            return len((await store.look()).entries) == len(_MISSED)

        first = daemon(**env)
        await until(declared)
        assert first.terminate() == 0
        await _set_back(store, 3 * _HOUR_MS)

        second = daemon(**env)
        await until(lambda: len(told(tmp_path)) == 4)
        await until(lambda: _all_passed_over(store))
        assert second.terminate() == 0  # in order: what had been due is over
        runs = {name: sorted(run.what for run in told(tmp_path) if f":{name}:" in run.job_id) for name in _MISSED}
        dues = sorted(past.due for past in await store.history("all", 10))
        past = {name: [(it.state, it.reason, it.due_times) for it in await store.history(name, 10)] for name in _MISSED}
    assert [due - dues[0] for due in dues] == [0, _HOUR_MS, 2 * _HOUR_MS]
    texts = [utc_from_ms(due).isoformat() for due in dues]
    assert runs == {"skip": [], "once": texts[2:], "all": texts}
    assert past == {
        "skip": [("passed", "missed", 3)],
        "once": [("fired", "", 1), ("passed", "missed", 2)],
        "all": [("fired", "", 1)] * 3,
    }


async def _all_passed_over(store: Store) -> bool:
    return all([await store.history(name, 10) for name in _MISSED])
