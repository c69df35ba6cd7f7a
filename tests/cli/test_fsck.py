"""jobsd fsck, as it is typed: what it says, as what it ends, and that a queue can go back to arq."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from arq import create_pool
from arq.worker import Worker as StockWorker
from arq.worker import func
from redis.asyncio import Redis
from typer.testing import CliRunner

import jobsd
from jobsd.arq import job_deserializer, job_serializer
from jobsd.cli import app
from jobsd.engine.arq.addresses import settings_from
from jobsd.errors import ReleaseError, UnreachableError
from jobsd.store.census import Walk
from jobsd.store.handing_back import HandingBack
from jobsd.store.jobs import Jobs, Quota
from tests.admin.stock import BASE, SHARD, Stock
from tests.records.ledger import a_ledger

if TYPE_CHECKING:
    from arq.connections import ArqRedis

ARQ = "arq:queue"
NOTE = "note: outbox and ledger were not looked at: no Postgres is configured (JOBSD_DATABASE_URL)"


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path, redis_url: str) -> None:
    for name in os.environ:
        if name.startswith(("JOBSD_", "REDIS_", "DATABASE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("JOBSD_REDIS_URL", redis_url)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def stock(redis) -> Stock:
    return await Stock(redis).open()


async def fsck(*arguments: str) -> Any:
    return await asyncio.to_thread(CliRunner().invoke, app, ["fsck", *arguments])


async def test_what_is_well_is_one_line_and_what_was_not_looked_at_another(stock):
    ended = await fsck()
    assert (ended.exit_code, ended.stdout) == (0, f"{NOTE}\nall is well: 13 jobs in 2 queues\n")
    ended = await fsck("--repair", "-q", "other")
    assert (ended.exit_code, ended.stdout) == (0, "all is well: 1 job in 1 queue\n")


async def test_what_is_wrong_is_told_by_kind_then_mended_then_gone(stock):
    await stock.redis.zrem(BASE, "retries", "waits")
    await stock.redis.hset(f"{BASE}:held", "k=acme", "3")
    ended = await fsck()
    assert ended.exit_code == 1
    assert ended.stdout.splitlines() == [
        "      2  payload in no queue",
        "           retries, in default",
        "           waits (left as it is)",
        "           --repair: goes back into the queue that some trace of it names",
        "      1  leases counted under a limit are not those there are",
        "           k=acme, in default, 3 counted, 1 there",
        "           --repair: counted anew",
        NOTE,
        "3 problems, of which --repair mends 2: 11 jobs in 2 queues",
    ]
    ended = await fsck("--repair")
    assert (ended.exit_code, ended.stdout.splitlines()[-1]) == (1, "3 problems, 2 mended, 1 left: 11 jobs in 2 queues")
    await stock.redis.zadd(BASE, {"waits": 1})
    ended = await fsck("--repair")
    assert (ended.exit_code, ended.stdout) == (0, f"{NOTE}\nall is well: 13 jobs in 2 queues\n")


async def test_a_repair_that_leaves_nothing_ends_well(stock):
    await stock.redis.zrem(BASE, "retries")
    ended = await fsck("--repair")
    assert ended.exit_code == 0
    assert ended.stdout.splitlines()[-1] == "1 problem, 1 mended, 0 left: 12 jobs in 2 queues"


async def test_many_are_named_in_part_and_json_has_more(stock):
    await stock.redis.hset(f"{BASE}:side", mapping={f"gone-{n:02}": "{}" for n in range(20)})
    lines = (await fsck()).stdout.splitlines()
    assert len(lines) == 10
    assert lines[0] == "     20  notes of a job that is not there"
    assert lines[6] == "           and 15 more"
    ended = await fsck("--json")
    told = json.loads(ended.stdout)
    (problem,) = told["problems"]
    assert (ended.exit_code, told["left"], problem["kind"], problem["count"], problem["mendable"]) == (
        1, 20, "stray_side", 20, 20,
    )  # fmt: skip
    assert {item["name"] for item in problem["items"]} == {f"gone-{n:02}" for n in range(20)}
    assert problem["items"][0]["state"] == "mendable"


async def test_an_id_that_would_command_the_terminal_is_written_out(stock):
    await stock.redis.hset(f"{BASE}:side", "\x1b[2Jgone", "{}")
    assert "\\x1b[2Jgone, in default" in (await fsck()).stdout


async def test_a_queue_that_never_was_is_wrong_usage(stock):
    ended = await fsck("-q", "defualt")
    assert ended.exit_code == 2
    assert "did you mean 'default'?" in ended.stderr
    ended = await fsck("--release", "defualt")
    assert ended.exit_code == 2
    assert (await fsck("--release", "default", "--repair")).exit_code == 2


async def test_a_redis_out_of_reach_is_exit_code_3(monkeypatch, tmp_path):
    monkeypatch.setenv("JOBSD_REDIS_URL", f"unix://{tmp_path}/none.sock")
    ended = await fsck()
    assert isinstance(ended.exception, UnreachableError)
    assert ended.exception.exit_code == 3


async def test_without_its_ledger_it_looks_at_redis_says_so_and_mends_nothing(stock, monkeypatch, tmp_path):
    monkeypatch.setenv("JOBSD_DATABASE_URL", f"postgresql:///ledger?host={tmp_path}")
    await stock.redis.zrem(BASE, "retries")
    ended = await fsck()
    assert ended.stdout.splitlines()[-1] == "1 problem, of which --repair mends 1: 12 jobs in 2 queues"
    assert isinstance(ended.exception, UnreachableError)
    ended = await fsck("--repair")
    assert (ended.stdout, type(ended.exception)) == ("", UnreachableError)
    assert await stock.score("retries") is None


async def test_with_its_ledger_it_compares_the_outbox(stock, monkeypatch, database_url):
    monkeypatch.setenv("JOBSD_DATABASE_URL", database_url)
    async with a_ledger(database_url) as pool:
        await pool.execute(
            "INSERT INTO jobsd.outbox (job_id, incarnation, queue, due_at, payload, enqueued_at, problem)"
            " VALUES ('job-1', 'o0123456789a', 'default', now(), '{\"i\":\"o0123456789a\"}', now(), 'refused')"
        )
    ended = await fsck()
    assert ended.stdout.splitlines()[:2] == [
        "      1  in the outbox, and Redis refuses it",
        "           job-1, in default, refused (left as it is)",
    ]


# --- back to arq ----------------------------------------------------------------------------------


async def add(ctx, n: int) -> int:
    ctx["ran"].append((n, ctx["job_try"]))
    return n


async def arq_runs(redis_url: str, **options: Any) -> list[tuple[int, int]]:
    """Let a stock arq worker empty the queue; return what ran, and in which try."""
    ran: list[tuple[int, int]] = []
    worker = StockWorker(
        [func(add, name="add")],
        redis_settings=settings_from(redis_url),
        burst=True,
        poll_delay=0.01,
        handle_signals=False,
        ctx={"ran": ran},
        **options,
    )
    try:
        async with asyncio.timeout(20):
            await worker.main()
    finally:
        await worker.close()
    return sorted(ran)


@pytest.fixture
async def arq_jobs(redis_url: str) -> Any:
    pool: ArqRedis = await create_pool(settings_from(redis_url))
    yield pool
    await pool.aclose()


@pytest.mark.filterwarnings("ignore:Call to deprecated close")  # by arq's worker
async def test_a_queue_goes_back_to_arq_whose_worker_then_runs_its_jobs(redis, redis_url, arq_jobs):
    for n in range(3):
        await arq_jobs.enqueue_job("add", n, _job_id=f"pickle-{n}")
    await arq_jobs.enqueue_job("add", 3, _job_id="later", _defer_by=timedelta(hours=1))
    async with jobsd.Client(redis_url) as client:
        await client.enqueue("add", 10, _queue=ARQ, _id="json")
        await client.enqueue("add", 11, _queue=ARQ, _id="limited", _limit_key="acme")
        await client.enqueue("add", 12, _queue=ARQ, _id="cancelled")
        await client.job("cancelled", queue=ARQ).cancel()
    await redis.zadd(ARQ, {"pickle-1": -9_000_000_000_000_000})
    await redis.zadd(f"{ARQ}:parked:task:add", {"pickle-1": 1_700_000_000_000})
    await redis.zadd(f"{ARQ}:retry", {"pickle-2": 5})
    await redis.hset(f"{ARQ}:side", "pickle-2", '{"n":2,"f":1}')
    later = await redis.zscore(ARQ, "later")

    ended = await fsck("--release", ARQ)
    assert ended.exit_code == 0
    assert ended.stdout.splitlines() == [
        "arq:queue is arq's: 6 jobs in it",
        "2 of them are JSON: arq's worker needs job_deserializer = jobsd.arq.job_deserializer",
        "1 archived job stays in jobsd's archive: cancelled",
    ]
    assert await redis.zscore(ARQ, "later") == later
    assert await redis.zscore(ARQ, "pickle-1") == 1_700_000_000_000
    beside = {key.decode() async for key in redis.scan_iter(match=f"{ARQ}:*")}
    assert beside == {f"{ARQ}:archived", f"{ARQ}:dead:cancelled"}

    await redis.zrem(ARQ, "json", "limited", "later")  # a burst would wait for what is due in an hour
    assert await arq_runs(redis_url) == [(0, 1), (1, 1), (2, 2)]  # what had failed once is in its second try
    await redis.zadd(ARQ, {"json": 1, "limited": 1})
    codec = {"job_serializer": job_serializer, "job_deserializer": job_deserializer}
    assert await arq_runs(redis_url, **codec) == [(10, 1), (11, 1)]
    again = await fsck("--release", ARQ, "--json")
    assert (json.loads(again.stdout)["jobs"], json.loads(again.stdout)["archived"]) == (0, ["cancelled"])
    assert (await fsck()).exit_code == 0


async def test_results_that_jobsd_kept_end_by_themselves_after_it(redis, redis_url, arq_jobs):
    await arq_jobs.enqueue_job("add", 1, _job_id="done")
    worker = jobsd.Worker(
        [func(add, name="add")],
        redis_settings=settings_from(redis_url),
        burst=True,
        handle_signals=False,
        ctx={"ran": []},
    )
    await worker.main()
    await worker.close()
    await redis.persist("arq:result:done")
    assert (await fsck("--release", ARQ)).stdout == "arq:queue is arq's: 0 jobs in it\n"
    assert 0 < await redis.pttl("arq:result:done") <= 3_600_000
    assert await redis.sismember(f"{SHARD}:queues", ARQ) == 0


async def test_a_queue_is_not_handed_back_while_jobsd_is_at_it(redis, arq_jobs):
    await arq_jobs.enqueue_job("add", 1, _job_id="runs")
    jobs = Jobs(redis)
    await jobs.announce("w1", {"queues": f"other {ARQ}"}, [ARQ])
    await jobs.extend("w1", 15_000, [])
    ended = await fsck("--release", ARQ)
    assert str(ended.exception) == "arq:queue is not handed back to arq: worker w1 serves it; stop it first"
    assert isinstance(ended.exception, ReleaseError)
    await jobs.claim("w1", 1, [Quota(ARQ, 1)], slots=1, lease_ms=15_000, max_losses=3, records=False)
    await jobs.sign_off("w1")
    ended = await fsck("--release", ARQ)
    assert str(ended.exception) == "arq:queue is not handed back to arq: 1 jobs of it run"
    assert await redis.zcard(f"{ARQ}:active") == 1


async def test_a_worker_that_begins_while_a_queue_is_handed_back_keeps_its_leases(
    redis, redis_url, arq_jobs, monkeypatch
):
    await arq_jobs.enqueue_job("add", 1, _job_id="runs")
    await Jobs(redis).announce("w0", {"queues": ""}, [ARQ])
    census = Walk.census

    async def begin(self):
        found = await census(self)
        original = HandingBack._all_in

        async def all_in(self, place, line):
            letters = await original(self, place, line)
            async with Redis.from_url(redis_url) as another:
                jobs = Jobs(another)
                await jobs.extend("w1", 15_000, [])
                await jobs.claim("w1", 1, [Quota(ARQ, 1)], slots=1, lease_ms=15_000, max_losses=3, records=False)
            return letters

        monkeypatch.setattr(HandingBack, "_all_in", all_in)
        return found

    monkeypatch.setattr(Walk, "census", begin)
    ended = await fsck("--release", ARQ)
    assert str(ended.exception) == "arq:queue is not handed back to arq: 1 jobs of it run"
    assert await redis.zcard(f"{ARQ}:active") == 1


async def test_a_queue_of_jobsds_own_is_none_of_arqs(stock):
    ended = await fsck("--release", "default")
    assert isinstance(ended.exception, ReleaseError)
    assert str(ended.exception).endswith("it is a queue of jobsd's own, which arq cannot read")
