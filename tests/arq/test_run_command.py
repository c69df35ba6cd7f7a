"""``jobsd run path.to.WorkerSettings``: a real child process, an arq client beside it."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import msgpack
import pytest
from arq.jobs import JobStatus
from arq.worker import async_check_health

from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 60
QUICK = {"timeout": _PATIENCE_S, "poll_delay": 0.02}


class Child:
    """``jobsd run`` in a process of its own, whose words go to a file."""

    def __init__(self, arguments: tuple[str, ...], env: dict[str, str], folder: Path) -> None:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("JOBSD_", "REDIS_", "DATABASE_"))}
        self._log = folder / "log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jobsd", "run", *arguments],
                cwd=folder,
                env=kept | {"PYTHONPATH": str(ROOT), "JOBSD_STATE": str(folder / "none"), "NO_COLOR": "1"} | env,
                stdout=log,
                stderr=log,
            )

    @property
    def said(self) -> str:
        return self._log.read_text("utf-8")

    async def says(self, text: str) -> None:
        await until(lambda: text in self.said or self.process.poll() is not None)
        assert text in self.said, self.said

    async def ended(self) -> int:
        return await asyncio.to_thread(self.process.wait, _PATIENCE_S)

    async def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()


@pytest.fixture
def run(redis_url: str, tmp_path: Path) -> Iterator[Callable[..., Child]]:
    started: list[Child] = []

    def start(*arguments: str, **env: str) -> Child:
        given = {"JOBSD_REDIS_URL": redis_url, "JOBSD_LOG__FORMAT": "console"} | env
        one = Child(arguments, {name: value for name, value in given.items() if value}, tmp_path)
        started.append(one)
        return one

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(_PATIENCE_S)


@pytest.mark.slow
async def test_the_quick_start_runs_as_it_is_and_says_so(office, run) -> None:
    child = run("tests.arq.examples.QuickStart")
    job = await office.jobs.enqueue_job("download", "https://example.com", _job_id="d")
    assert await job.result(**QUICK) == "https://example.com: 200"
    await child.says("← d:download ● 'https://example.com: 200'")
    assert await child.terminate() == 0
    for words in (
        "daemon.started",
        "settings=tests.arq.examples.QuickStart",
        "Starting worker for 1 functions: download",
        "→ d:download('https://example.com')",
        "pickle.accepted",
        "records.disabled",
        "shutdown on SIGTERM ◆ 1 jobs complete ◆ 0 failed ◆ 0 retries ◆ 0 ongoing to cancel",
        "daemon.stopped",
    ):
        assert words in child.said, child.said
    assert "Traceback" not in child.said


@pytest.mark.slow
async def test_a_job_is_aborted_in_the_child(office, run) -> None:
    child = run("tests.arq.examples.Aborts")
    job = await office.jobs.enqueue_job("stuff")
    await child.says("at it")
    assert await job.status() is JobStatus.in_progress
    assert await job.abort(**QUICK) is True
    await child.says("aborted")


@pytest.mark.slow
async def test_a_cron_job_runs_in_the_child(office, run) -> None:
    run("tests.arq.examples.Crons")
    await until(lambda: office.redis.get("regularly"))


@pytest.mark.slow
async def test_msgpack_and_retries_in_the_child(office, run) -> None:
    unpack = functools.partial(msgpack.unpackb, raw=False)
    jobs = await office.client(job_serializer=msgpack.packb, job_deserializer=unpack)
    packed = await jobs.enqueue_job("answer")
    child = run("tests.arq.examples.Msgpack", "--burst")
    assert await packed.result(**QUICK) == 42
    assert await child.ended() == 0
    busy = await office.jobs.enqueue_job("insist", "https://example.com/busy")
    assert await run("tests.arq.examples.Retries", "--burst").ended() == 0
    assert await busy.result(timeout=0) == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")  # arq's own call
async def test_arqs_check_finds_the_child_alive_and_a_deploy_burns_no_try(office, run) -> None:
    child = run("tests.arq.examples.Aborts")
    job = await office.jobs.enqueue_job("stuff", _job_id="s")
    await child.says("→ s:stuff()")
    assert await async_check_health(office.settings) == 0
    assert await child.terminate() == 0
    assert await async_check_health(office.settings) == 1
    assert await job.status() is JobStatus.queued
    await run("tests.arq.examples.Aborts").says("→ s:stuff()")
    assert "try=2" not in child.said


@pytest.mark.slow
async def test_with_a_database_each_run_becomes_a_row(office, run, database_url) -> None:
    migrated = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "jobsd", "migrate"],
        env=os.environ | {"JOBSD_DATABASE_URL": database_url, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=_PATIENCE_S,
    )
    assert migrated.returncode == 0, migrated.stderr
    await office.jobs.enqueue_job("insist", "https://example.com/busy", _job_id="b")
    assert await run("tests.arq.examples.Retries", "--burst", JOBSD_DATABASE_URL=database_url).ended() == 0
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch(
        "select task, queue, attempt, outcome, transition, args from jobsd.executions order by attempt"
    )
    await connection.close()
    assert [(row["attempt"], row["outcome"], row["transition"]) for row in rows] == [
        (1, "failed", "retry"),
        (2, "failed", "retry"),
        (3, "succeeded", "completed"),
    ]
    assert {(row["task"], row["queue"]) for row in rows} == {("insist", "arq:queue")}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nonsense"], "is not the path of a class"),
        (["no.such.module.WorkerSettings"], "module 'no.such.module' cannot be imported: ModuleNotFoundError"),
        (["tests.arq.examples.Nothing"], "module 'tests.arq.examples' has no 'Nothing'"),
        (["tests.arq.examples.not_a_class"], "neither a class nor a dictionary"),
        (["tests.arq.examples.Empty"], "at least one function or cron_job must be registered"),
        (["tests.arq.examples.Wrong"], "is not a coroutine function"),
        (["tests.arq.examples.QuickStart", "--tasks", "x"], "says itself what it runs"),
        (["--burst"], "is for an arq class"),
    ],
)
async def test_what_is_wrong_is_one_line_and_exit_code_2(run, arguments, problem) -> None:
    child = run(*arguments)
    assert await child.ended() == 2
    assert problem in child.said
    assert "Traceback" not in child.said
    assert len(child.said.splitlines()) == 1


async def test_a_queue_that_is_switched_off_is_not_served(run) -> None:
    child = run("tests.arq.examples.QuickStart", REDIS_ENABLE="false")
    assert await child.ended() == 2
    assert "REDIS_ENABLE=false" in child.said
