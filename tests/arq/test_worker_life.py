"""A worker's life: bursts, health, start and stop, where its Redis is."""

from __future__ import annotations

import asyncio
import re
import signal
from typing import Any

import pytest
from arq.connections import ArqRedis, RedisSettings
from arq.worker import FailedJobs, async_check_health

from jobsd.engine.arq.addresses import SentinelError, settings_from, settings_of, url_of
from tests.arq.office import soon
from tests.waiting import PATIENCE_S, until


async def works(ctx):
    return "well"


async def fails(ctx):
    msg = "no"
    raise ValueError(msg)


# --- burst -----------------------------------------------------------------------------------------


async def test_a_burst_ends_when_the_queue_is_empty_and_waits_for_what_is_deferred(office) -> None:
    await office.jobs.enqueue_job("works")
    late = await office.jobs.enqueue_job("works", _defer_by=0.3)
    worker = await office.burst(works)
    assert worker.jobs_complete == 2
    assert await late.result(timeout=0) == "well"


async def test_a_burst_takes_no_more_than_max_burst_jobs(office) -> None:
    for _ in range(5):
        await office.jobs.enqueue_job("works")
    worker = await office.burst(works, max_burst_jobs=3)
    assert worker.jobs_complete == 3
    assert await office.redis.zcard("arq:queue") == 2


async def test_the_last_of_a_limited_burst_may_take_its_time(office) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def waits(ctx):
        began.set()
        await go.wait()
        return "well"

    job = await office.jobs.enqueue_job("waits")
    bursting = asyncio.create_task(office.burst(waits, max_burst_jobs=1))
    await soon(began)
    go.set()
    await bursting
    assert await job.result(timeout=0) == "well"


async def test_a_burst_of_none_takes_none(office) -> None:
    await office.jobs.enqueue_job("works")
    worker = await office.burst(works, max_burst_jobs=0)
    assert worker.jobs_complete == 0


async def test_a_retry_counts_among_the_jobs_of_a_burst(office) -> None:
    from arq import Retry  # noqa: PLC0415

    async def never(ctx):
        raise Retry

    await office.jobs.enqueue_job("never")
    worker = await office.burst(never, max_burst_jobs=2)
    assert (worker.jobs_retried, worker.jobs_failed) == (2, 0)


async def test_run_check_counts_what_was_completed(office) -> None:
    for _ in range(3):
        await office.jobs.enqueue_job("works")
    assert await office.check(works) == 3


async def test_run_check_raises_with_the_results_that_failed_also_beside_results_in_json(office) -> None:
    from jobsd import Client  # noqa: PLC0415

    async with Client(office.url) as client:
        await client.enqueue("works", _queue="arq:queue")
    await office.jobs.enqueue_job("fails")
    with pytest.raises(FailedJobs, match=r"1 job failed ValueError\('no'\)"):
        await office.check(works, fails)


async def test_a_worker_can_be_run_again_and_goes_on_counting(office) -> None:
    worker = office.worker(works, burst=True)
    for n in range(1, 3):
        await office.jobs.enqueue_job("works")
        async with asyncio.timeout(PATIENCE_S):
            assert await worker.run_check() == n
    assert repr(worker) == "<Worker j_complete=2 j_failed=0 j_retried=0 j_ongoing=0>"
    await worker.close()


async def test_records_that_wait_slow_it_down_from_the_same_limit_on(office) -> None:
    worker = office.worker(works)
    worker.records, worker.backlog = True, "64kB"
    office.start(worker)
    await until(lambda: worker.engine is not None and worker.engine.backpressure.limit_bytes)
    assert worker.engine.backpressure.limit_bytes == 64_000


async def test_what_arq_calls_otherwise_is_what_the_engine_goes_by(office) -> None:
    worker = office.open(works, max_jobs=7, poll_delay=0.3, job_timeout=12, job_completion_wait=4)
    await until(lambda: worker.engine is not None)
    options = worker.engine.options
    assert options.concurrency == 7
    seconds = [span.total_seconds() for span in (options.poll, options.timeout, options.grace)]
    assert seconds == [0.3, 12, 4]


# --- health ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")  # arq's own call
async def test_arqs_health_check_passes_while_the_worker_lives(office) -> None:
    assert await async_check_health(office.settings) == 1
    await office.jobs.enqueue_job("works")
    worker = office.open(works, health_check_interval=0.05)
    await until(lambda: says(office, "arq:queue:health-check", "j_complete=1"))
    line = (await office.redis.get("arq:queue:health-check")).decode()
    assert re.fullmatch(r"\w{3}-\d\d \d\d:\d\d:\d\d j_complete=1 j_failed=0 j_retried=0 j_ongoing=0 queued=0", line)
    assert 0 < await office.redis.pttl("arq:queue:health-check") <= 1050
    assert await async_check_health(office.settings) == 0
    await office.shut(worker)
    assert await async_check_health(office.settings) == 1


async def test_the_health_checks_key_may_be_another(office) -> None:
    office.open(works, health_check_key="alive")
    await until(lambda: says(office, "alive", "queued=0"))


# --- start and stop --------------------------------------------------------------------------------


async def test_a_signal_lets_jobs_end_within_job_completion_wait(office) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def waits(ctx):
        began.set()
        await go.wait()
        return "well"

    stopped = []
    job = await office.jobs.enqueue_job("waits")
    worker = office.open(waits, job_completion_wait=PATIENCE_S)
    worker.on_stop = stopped.append
    await soon(began)
    worker.handle_sig(signal.SIGTERM)
    go.set()
    await until(lambda: job_is_done(job))
    assert await job.result(timeout=0) == "well"
    assert stopped == [signal.SIGTERM]


async def test_a_second_signal_ends_at_once_and_the_job_goes_back(office) -> None:
    began = asyncio.Event()

    async def waits(ctx):
        began.set()
        await asyncio.Event().wait()

    await office.jobs.enqueue_job("waits", _job_id="w")
    worker = office.open(waits, job_completion_wait=600)
    await soon(began)
    worker.handle_sig(signal.SIGTERM)
    worker.handle_sig(signal.SIGTERM)
    await office.shut(worker)
    assert await office.redis.exists("arq:in-progress:w") == 0
    assert await office.redis.zcard("arq:queue") == 1


async def test_a_signal_before_anything_runs_ends_the_worker_and_calls_its_shutdown(office) -> None:
    starting, calls = asyncio.Event(), []

    async def startup(ctx):
        starting.set()
        await asyncio.Event().wait()

    async def shutdown(ctx):
        calls.append("shutdown")

    worker = office.worker(works, on_startup=startup, on_shutdown=shutdown)
    running = asyncio.create_task(worker.async_run())
    await soon(starting)
    worker.handle_sig(signal.SIGTERM)
    await asyncio.wait([running], timeout=PATIENCE_S)
    assert running.cancelled()
    await worker.close()
    assert calls == ["shutdown"]


async def test_an_error_at_startup_ends_the_worker_with_it(office) -> None:
    async def startup(ctx):
        msg = "no database"
        raise RuntimeError(msg)

    worker = office.worker(works, on_startup=startup)
    with pytest.raises(RuntimeError, match="no database"):
        await worker.async_run()
    await worker.close()


async def test_the_shutdown_hook_is_called_though_redis_is_away(office, monkeypatch) -> None:
    calls = []

    async def shutdown(ctx):
        calls.append("shutdown")

    async def away(*_):
        raise ConnectionError

    worker = office.worker(works, burst=True, on_shutdown=shutdown)
    async with asyncio.timeout(PATIENCE_S):
        await worker.main()
    monkeypatch.setattr(worker.pool, "delete", away)
    await worker.close()
    assert calls == ["shutdown"]


def test_run_runs_in_a_loop_of_its_own_and_closes(redis_url) -> None:
    import jobsd  # noqa: PLC0415

    calls = []

    async def startup(ctx):
        await ctx["redis"].enqueue_job("works", _job_id="w")

    async def shutdown(ctx):
        calls.append("shutdown")

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = jobsd.Worker(
        [works],
        redis_settings=settings_from(redis_url),
        burst=True,
        on_startup=startup,
        on_shutdown=shutdown,
        handle_signals=False,
    )
    worker.run()
    loop.close()
    asyncio.set_event_loop(None)
    assert worker.jobs_complete == 1
    assert calls == ["shutdown"]


# --- where Redis is --------------------------------------------------------------------------------


async def test_a_pool_that_was_handed_over_is_used_and_closed_as_in_arq(office) -> None:
    pool = await office.client()
    await pool.enqueue_job("works")
    worker = office.worker(works, burst=True, redis_settings=None, redis_pool=pool)
    async with asyncio.timeout(PATIENCE_S):
        await worker.main()
    assert worker.ctx["redis"] is pool
    assert worker.jobs_complete == 1
    await worker.close()


@pytest.mark.parametrize(
    "settings",
    [
        RedisSettings(),
        RedisSettings(host="cache", port=6380, database=3, password="p@ss/word#?:", username="ann"),  # noqa: S106
        RedisSettings(host="::1"),
        RedisSettings(unix_socket_path="/run/a b/valkey.sock", database=2),
        RedisSettings(ssl=True, ssl_ca_certs="/etc/ca.pem", ssl_cert_reqs="none", ssl_check_hostname=True),
    ],
    ids=["default", "password", "ipv6", "unix", "tls"],
)
async def test_settings_an_address_and_a_pool_say_the_same(settings) -> None:
    assert settings_from(url_of(settings)) == settings
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "unix_socket_path": settings.unix_socket_path,
        "db": settings.database,
        "username": settings.username,
        "password": settings.password,
    }
    if settings.ssl:
        names = ("ssl_ca_certs", "ssl_cert_reqs", "ssl_check_hostname")
        options |= {"ssl": True} | {name: getattr(settings, name) for name in names}
    pool = ArqRedis(**options)
    assert url_of(settings_of(pool)) == url_of(settings)
    await pool.aclose()


def test_sentinel_is_refused_by_name() -> None:
    with pytest.raises(SentinelError, match="Sentinel"):
        url_of(RedisSettings(host=[("s1", 26379)], sentinel=True))


async def says(office, key: str, text: str) -> bool:
    return text in (await office.redis.get(key) or b"").decode()


async def job_is_done(job) -> bool:
    return await job.result_info() is not None
