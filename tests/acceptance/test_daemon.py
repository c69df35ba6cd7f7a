"""A daemon as its operator meets it: started, stopped, misconfigured."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobState
from jobsd.errors import JobFailedError, UnknownQueueError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis.asyncio import Redis

Start = Any


async def until(happened: Callable[[], Any]) -> None:
    """Wait until an awaited look says yes."""
    async with asyncio.timeout(60):
        while not await happened():
            await asyncio.sleep(0.02)


async def test_a_job_goes_from_enqueue_to_its_result(daemon: Start, redis_url: str) -> None:
    daemon()
    async with Client(redis_url) as client:
        reference = await client.enqueue("add", a=1, b=2)
        assert await reference.result(30) == 3
        assert await reference.status() is JobState.COMPLETED


async def test_a_failing_job_is_retried_then_archived_with_its_cause(daemon: Start, redis_url: str) -> None:
    daemon()
    async with Client(redis_url) as client:
        twice = await client.enqueue("fails_twice")
        always = await client.enqueue("always_fails")
        assert await twice.result(30) == 3
        with pytest.raises(JobFailedError, match="no luck"):
            await always.result(30)
        assert await always.status() is JobState.ARCHIVED


async def test_a_daemon_that_refuses_unknown_queues_makes_every_client_refuse_them(
    daemon: Start, redis_url: str, redis: Redis
) -> None:
    daemon(JOBSD_UNKNOWN_QUEUES="refuse")
    await until(lambda: redis.hexists("jobsd:{main}::state", "unknown"))
    async with Client(redis_url) as client:
        with pytest.raises(UnknownQueueError, match="no daemon serves a queue 'defualt'; did you mean 'default'"):
            await client.enqueue("add", a=1, b=2, _queue="defualt")
        assert await (await client.enqueue("add", a=1, b=2, _queue="low")).result(30) == 3


async def test_on_sigterm_a_running_job_may_end_in_the_grace(daemon: Start, redis_url: str, redis: Redis) -> None:
    one = daemon()
    async with Client(redis_url) as client:
        running = await client.enqueue("wait_for_go")
        await until(lambda: redis.llen("said"))
        one.process.send_signal(signal.SIGTERM)
        one.wait_for("daemon.draining", running=1)
        waiting = await client.enqueue("add", a=1, b=1)
        await redis.set("go", 1)
        assert await running.result(30) == "done"
        assert one.wait() == 0
        assert await waiting.status() is JobState.PENDING
    assert await redis.zcard("jobsd:{main}::workers") == 0


async def test_after_the_grace_a_job_is_handed_back_and_costs_no_retry(
    daemon: Start, redis_url: str, redis: Redis
) -> None:
    one = daemon(JOBSD_WORKER__GRACE="100ms")
    async with Client(redis_url) as client:
        reference = await client.enqueue("wait_for_go", _retries=0)
        await until(lambda: redis.llen("said"))
        assert one.terminate() == 0
        assert one.count("job.requeued") == 1
        assert await reference.status() is JobState.PENDING
        await redis.set("go", 1)
        daemon()
        assert await reference.result(30) == "done"
    said = [line.decode().split(" ", 1)[1] for line in await redis.lrange("said", 0, -1)]
    assert said == ["1 started", "2 started", "2 ended"]


async def test_a_second_signal_ends_the_drain_at_once(daemon: Start, redis_url: str, redis: Redis) -> None:
    one = daemon(JOBSD_WORKER__GRACE="1h")
    async with Client(redis_url) as client:
        reference = await client.enqueue("wait_for_go")
        await until(lambda: redis.llen("said"))
        one.process.send_signal(signal.SIGTERM)
        one.wait_for("daemon.draining")
        assert one.terminate() == 0
        assert await reference.status() is JobState.PENDING


async def test_a_killed_workers_jobs_are_taken_over_within_lease_and_two_seconds(
    daemon: Start, redis_url: str, redis: Redis
) -> None:
    first = daemon(JOBSD_WORKER__LEASE="2s")
    async with Client(redis_url) as client:
        reference = await client.enqueue("wait_for_go", _retries=0)
        await until(lambda: redis.llen("said"))
        second = daemon(JOBSD_WORKER__LEASE="2s")
        second.wait_for("daemon.started")
        await until(lambda: _workers_are(redis, 2))
        killed_at = time.monotonic()
        first.kill()
        second.wait_for("job.lost", job_id=reference.id)
        await until(lambda: _said(redis, 2))
        took = time.monotonic() - killed_at
        await redis.set("go", 1)
        assert await reference.result(30) == "done"
    assert took < 2 + 2
    said = [line.decode().split(" ", 1)[1] for line in await redis.lrange("said", 0, -1)]
    assert said == ["1 started", "2 started", "2 ended"]


async def _workers_are(redis: Redis, count: int) -> bool:
    return await redis.zcard("jobsd:{main}::workers") == count


async def _said(redis: Redis, count: int) -> bool:
    return await redis.llen("said") == count


async def test_redis_away_at_start_is_said_once_and_waited_for(daemon: Start, redis_url: str, tmp_path: Path) -> None:
    socket = tmp_path / "later.sock"
    one = daemon(JOBSD_REDIS_URL=f"unix://:secret@{socket}?{redis_url.partition('?')[2]}")
    line = one.wait_for("redis.unreachable")
    assert line["url"].startswith(f"unix://:***@{socket}")
    assert "secret" not in "\n".join(one.raw)
    assert one.terminate() == 0
    assert one.count("redis.unreachable") == 1


async def test_redis_that_comes_later_is_used(daemon: Start, redis_url: str, tmp_path: Path) -> None:
    real = redis_url.removeprefix("unix://").partition("?")[0]
    link = tmp_path / "later.sock"
    one = daemon(JOBSD_REDIS_URL=redis_url.replace(real, str(link)))
    one.wait_for("redis.unreachable")
    link.symlink_to(real)
    one.wait_for("redis.connected")
    async with Client(redis_url) as client:
        assert await (await client.enqueue("add", a=2, b=2)).result(30) == 4


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"JOBSD_WORKER__CONCURENCY": "5"}, "did you mean JOBSD_WORKER__CONCURRENCY?"),
        ({"JOBSD_WORKER__TIMEOUT": "30"}, "is not a duration"),
        ({"JOBSD_TASKS": "no_such_module"}, "module 'no_such_module' cannot be imported"),
        ({"JOBSD_TASKS": ""}, "no module with tasks is named"),
        ({"JOBSD_REDIS_URL": ""}, "no address for Redis"),
        ({"REDIS_ENABLE": "false", "JOBSD_REDIS_URL": ""}, "REDIS_ENABLE=false"),
    ],
)
async def test_a_wrong_configuration_ends_with_2_and_one_plain_message(
    daemon: Start, env: dict[str, str], told: str, tmp_path: Path
) -> None:
    one = daemon(JOBSD_STATE=str(tmp_path / "nothing"), **env)
    assert one.wait() == 2
    text = "\n".join(one.raw)
    assert told in text
    assert "Traceback" not in text


async def test_a_module_that_fails_is_told_with_the_line(daemon: Start, tmp_path: Path) -> None:
    (tmp_path / "breaks.py").write_text("rate = 0\nlimit = 1 / rate\n")
    one = daemon(JOBSD_TASKS="breaks")
    assert one.wait() == 2
    told = "module 'breaks' cannot be imported: ZeroDivisionError: division by zero (breaks.py, line 2)"
    assert told in "\n".join(one.raw)


async def test_a_command_whose_server_is_out_of_reach_ends_with_3_and_says_where(daemon: Start, tmp_path: Path) -> None:
    one = daemon("enqueue", "add", "a=1", "b=2", JOBSD_REDIS_URL=f"unix://:secret@{tmp_path}/none.sock")
    assert one.wait() == 3
    text = "\n".join(one.raw)
    assert f"Redis at unix://:***@{tmp_path}/none.sock is out of reach" in text
    assert "secret" not in text
    assert "Traceback" not in text


async def test_a_wait_that_is_no_duration_is_refused_before_anything_is_stored(daemon: Start, redis: Redis) -> None:
    one = daemon("enqueue", "add", "a=1", "b=2", "--wait", "5")
    assert one.wait() == 2
    assert "Traceback" not in "\n".join(one.raw)
    assert await redis.dbsize() == 0


async def test_sigtstp_stops_taking_jobs_and_sigcont_takes_them_again(daemon: Start, redis_url: str) -> None:
    one = daemon()
    one.wait_for("daemon.started")
    one.process.send_signal(signal.SIGTSTP)
    one.wait_for("daemon.held")
    async with Client(redis_url) as client:
        reference = await client.enqueue("add", a=1, b=2)
        one.process.send_signal(signal.SIGCONT)
        one.wait_for("daemon.resumed")
        assert await reference.result(30) == 3


async def test_a_daemon_ends_though_a_plain_function_blocks(daemon: Start, redis_url: str, redis: Redis) -> None:
    one = daemon(JOBSD_WORKER__GRACE="100ms")
    async with Client(redis_url) as client:
        job = await client.enqueue("blocks_in_a_thread")
        await until(lambda: redis.llen("said"))
        assert one.terminate() == 0
        assert await job.status() is JobState.PENDING


def test_a_job_without_an_id_is_told_of_at_the_start(daemon: Any, tmp_path: Path) -> None:
    (tmp_path / "without_id.py").write_text(
        "from jobsd import BaseScheduledJob\n\n"
        "class Import(BaseScheduledJob):\n    cron = '@daily'\n    async def execute(self): ...\n"
    )
    one = daemon(JOBSD_TASKS="acceptance_tasks,without_id")
    assert one.wait_for("schedule.unnamed", level="warning")["job_class"] == "without_id.Import"
    one.wait_for("daemon.ready")
    assert one.terminate() == 0
