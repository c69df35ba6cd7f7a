"""`jobsd run --processes`: several daemons under one supervisor, and what becomes of them when one of them dies."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobState
from tests.acceptance.supervised import lives, pid_of, started, write_shop
from tests.acceptance.witness import RECORDED, runs, until, workers_are

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

pytestmark = pytest.mark.slow


@pytest.fixture
def supervisor(daemon: Any, tmp_path: Path) -> Any:
    """Return a function that starts a supervisor and waits until its daemons are ready."""
    write_shop(tmp_path, "old")

    def start(*args: str, processes: int = 2, **env: str) -> Any:
        given = {"JOBSD_STATE": str(tmp_path / "state"), "JOBSD_TASKS": "shop"} | env
        one = daemon("run", "--processes", str(processes), *args, **given)
        one.wait_for("daemon.ready", processes=processes)
        return one

    return start


async def test_all_daemons_are_ready_have_a_number_in_the_log_and_stop_in_order(
    supervisor: Any, redis: Redis, tmp_path: Path
) -> None:
    one = supervisor(processes=3)
    assert await workers_are(redis, 3)
    pids = [pid_of(started(one, number)[0]) for number in (1, 2, 3)]
    assert [os.getpgid(pid) for pid in pids] == pids, "a terminal's Ctrl-C is to reach the supervisor alone"
    assert one.count("records.disabled") == 1, "what is true of all is said once"
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "state" / "supervisors").iterdir()] == [0o600]
    assert one.terminate() == 0
    assert one.count("daemon.stopped") == 3
    assert one.count("daemon.died") == one.count("supervisor.lost") == 0
    assert await workers_are(redis, 0)
    assert list((tmp_path / "state" / "supervisors").iterdir()) == []


@pytest.mark.parametrize("name", ["JOBSD_TASKS", "JOBSD_PROCESSES"])
async def test_a_wrong_configuration_is_said_once_and_ends_the_supervisor_with_2(daemon: Any, name: str) -> None:
    wrong = {"JOBSD_TASKS": "no_such_module", "JOBSD_PROCESSES": "65"}[name]
    told = {
        "JOBSD_TASKS": "jobsd: tasks: module 'no_such_module' cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module'",
        "JOBSD_PROCESSES": 'jobsd: environment JOBSD_PROCESSES: processes: "65" is out of range; allowed is 1 to 64',
    }[name]
    one = daemon("run", **({"JOBSD_PROCESSES": "3"} | {name: wrong}))
    assert one.wait() == 2
    assert [line for line in one.raw if not line.startswith("{")] == [told]


async def test_a_daemon_that_is_killed_is_started_anew_and_its_job_is_taken_over(
    supervisor: Any, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    one = supervisor(JOBSD_WORKER__LEASE="1s", JOBSD_WORKER__CONCURRENCY="1")
    async with Client(redis_url) as client:
        job = await client.enqueue("wait", "gate", _retries=0)
        await until(lambda: redis.hexists("where", "gate"))
        victim = int((await redis.hget("where", "gate")).decode().split("-")[-2])
        os.kill(victim, signal.SIGKILL)
        died = one.wait_for("daemon.died", pid=victim, how="killed by SIGKILL")
        await until(lambda: len(started(one, died["daemon"])) == 2)
        (tmp_path / "gate").touch()
        await job.result(30)
        assert one.count("job.lost") == 1
    assert one.terminate() == 0
    assert one.count("daemon.started") == 3


async def test_after_kill_9_of_the_supervisor_its_daemons_end_and_another_takes_their_jobs_over(
    supervisor: Any, daemon: Any, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    one = supervisor(JOBSD_WORKER__GRACE="100ms")
    pids = [pid_of(started(one, number)[0]) for number in (1, 2)]
    async with Client(redis_url) as client:
        job = await client.enqueue("wait", "gate", _retries=0)
        await until(lambda: redis.hexists("where", "gate"))
        one.kill()
        await until(lambda: not any(lives(pid) for pid in pids))
        assert one.count("supervisor.lost") == 2
        assert await job.status() is JobState.PENDING, "handed back, not lost"
        (tmp_path / "gate").touch()
        daemon("run", JOBSD_TASKS="shop")
        await job.result(30)
    assert daemon("reload", JOBSD_STATE=str(tmp_path / "state")).wait() == 1
    assert list((tmp_path / "state" / "supervisors").iterdir()) == [], "a stale file is removed by who sees it"


async def test_a_second_signal_ends_all_daemons_without_their_grace(
    supervisor: Any, redis_url: str, redis: Redis
) -> None:
    one = supervisor(JOBSD_WORKER__GRACE="1h")
    async with Client(redis_url) as client:
        job = await client.enqueue("wait", "gate")
        await until(lambda: redis.hexists("where", "gate"))
        one.process.send_signal(signal.SIGTERM)
        one.wait_for("daemon.draining", running=1)
        assert one.terminate() == 0
        assert await job.status() is JobState.PENDING


async def test_a_supervisor_that_is_held_holds_also_what_it_starts_anew(supervisor: Any, redis_url: str) -> None:
    one = supervisor()
    one.process.send_signal(signal.SIGTSTP)
    for number in (1, 2):
        one.wait_for("daemon.held", daemon=number)
    os.kill(pid_of(started(one, 2)[0]), signal.SIGKILL)
    one.wait_for("daemon.died", daemon=2)
    await until(lambda: one.count("daemon.held") == 3)
    async with Client(redis_url) as client:
        job = await client.enqueue("version")
        one.process.send_signal(signal.SIGCONT)
        for number in (1, 2):
            one.wait_for("daemon.resumed", daemon=number)
        assert await job.result(30) == "old"


async def test_one_daemon_records_for_all_and_leaves_nothing_behind_when_it_stops(
    supervisor: Any, redis_url: str, redis: Redis, database_url: str, tmp_path: Path
) -> None:
    env = RECORDED | {"JOBSD_DATABASE_URL": database_url, "JOBSD_WORKER__CONCURRENCY": "1"}
    one = supervisor(JOBSD_WORKER__GRACE="1m", **env)
    recorder = started(one, 1)[0]["worker"]
    async with Client(redis_url) as client:
        for gate in ("a", "b"):
            await client.enqueue("wait", gate)
        await until(lambda: redis.hlen("where"))
        await until(lambda: _both(redis))
    of_recorder = b"a" if (await redis.hget("where", "a")).decode() == recorder else b"b"
    one.process.send_signal(signal.SIGTERM)
    for number in (1, 2):
        one.wait_for("daemon.draining", daemon=number, running=1)
    (tmp_path / of_recorder.decode()).touch()
    await until(lambda: _recorded(database_url, 1))
    (tmp_path / ("b" if of_recorder == b"a" else "a")).touch()  # its record comes when the first has nothing left to do
    assert one.wait() == 0
    assert [outcome for *_, outcome in await runs(database_url)] == ["succeeded", "succeeded"]
    assert await redis.xlen("jobsd:{main}::records") == 0


async def _both(redis: Redis) -> bool:
    return await redis.hlen("where") == 2


async def _recorded(database_url: str, count: int) -> bool:
    return len(await runs(database_url)) == count


@pytest.mark.parametrize("processes", [0, 2])
def test_a_service_manager_is_told_when_all_are_ready_and_when_they_stop(
    daemon: Any, tmp_path: Path, processes: int
) -> None:
    write_shop(tmp_path, "old")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "JOBSD_STATE": str(tmp_path / "state"), "JOBSD_TASKS": "shop"}
        one = daemon("run", *(("--processes", str(processes)) if processes else ()), **env)
        assert manager.recv(99) == b"READY=1"
        assert one.wait_for("daemon.ready")["processes"] == max(1, processes)
        one.process.send_signal(signal.SIGHUP)
        if processes:
            told, microseconds = manager.recv(99).split(b"\nMONOTONIC_USEC=")
            assert told == b"RELOADING=1"
            assert int(microseconds) > 0
            assert manager.recv(99) == b"READY=1"
            one.wait_for("reload.ended", processes=processes)
        else:
            one.wait_for("reload.ignored", remedy="run it with --processes; 1 is enough")
        one.process.send_signal(signal.SIGTERM)
        assert manager.recv(99) == b"STOPPING=1"
        assert one.wait() == 0
