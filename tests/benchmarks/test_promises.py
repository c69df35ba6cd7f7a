"""The price of promises: each form leaves in Postgres what it promises, and the outbox is told with what fills it."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest

from benchmarks import promises, promises_worker
from benchmarks.filling import TEXT
from benchmarks.ground import Ground, migrated
from benchmarks.jobsd_worker import noop
from benchmarks.promises_worker import take_step, transact, write, write_in_step
from benchmarks.report import Report
from jobsd.client import Client
from jobsd.records.pool import open_pool

_JOBS = 10
_WITHIN_S = 30


class GroundOfATest(Ground):
    """A database each of the test's servers, which count for this process."""

    async def clear(self):
        await self.redis.flushdb()

    def servers(self):
        return os.getpid(), os.getpid()


@pytest.fixture
async def ground(redis, redis_url, database_url):
    await migrated(database_url)
    pool = await open_pool(database_url)
    await pool.execute(promises.WRITES)
    yield GroundOfATest(SimpleNamespace(database_url=database_url), redis_url, redis, pool)
    await pool.close()


async def test_each_form_leaves_what_it_promises_once_for_each_job(ground, capsys):
    forms = (noop, write, transact, take_step, write_in_step)
    async with Client(ground.redis_url) as client:
        await client.enqueue_many(form.job(number, TEXT) for form in forms for number in range(_JOBS))
    await promises_worker.main(
        ground.redis_url, ground.database_url, len(forms) * _JOBS, 10, _WITHIN_S, list(ground.servers())
    )
    told = json.loads(capsys.readouterr().out)
    assert told["ended"] == len(forms) * _JOBS
    assert told["seconds"] > 0
    assert len(told["servers_s"]) == 2
    succeeded = await ground.pool.fetchval("SELECT count(*) FROM jobsd.executions WHERE outcome = 'succeeded'")
    assert succeeded == len(forms) * _JOBS
    assert await ground.pool.fetchval("SELECT count(*) FROM bench_writes") == 3 * _JOBS
    assert await ground.pool.fetchval("SELECT count(*) FROM jobsd.effects WHERE task = 'bench:transact'") == _JOBS
    steps = await ground.pool.fetch("SELECT key, count(*) AS n FROM jobsd.steps GROUP BY key ORDER BY key")
    assert [(row["key"], row["n"]) for row in steps] == [("note", _JOBS), ("write", _JOBS)]


async def test_the_outbox_is_told_with_what_it_takes_to_fill_it(ground):
    report = Report(lambda _: None)
    await promises.measure_outbox(ground, report, 150)
    columns = report.figures.all["promises"][promises.OUTBOX]
    assert columns.keys() == {
        "put_per_s", "put_us", "jobs_per_s", "worker_us", "valkey_us", "postgres_us", "all_us",
    }  # fmt: skip
    assert await ground.pool.fetchval("SELECT count(*) FROM jobsd.executions WHERE incarnation LIKE 'o%'") == 150
