"""The pytest plugin, as a project has it that has installed jobsd and knows nothing of this one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import jobsd.testing
from tests.core.test_public_face import python

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("arq", "asyncpg", "redis", "pydantic", "structlog", "jobsd.definition", "jobsd.client")

TESTS = """
import pytest
from jobsd import enqueue, task
from jobsd.testing import run

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@task("plugin:echo")
async def echo(ctx, value: int) -> int:
    return value


async def test_in_place():
    assert await run(echo, 1) == 1


async def test_captured(jobsd_jobs):
    await enqueue(echo, 1)
    assert jobsd_jobs == [echo.job(1)]


async def test_differs(jobsd_jobs):
    await enqueue(echo.opts(queue="low"), 1)
    assert jobsd_jobs[0] == echo.opts(delay="5m").job(2)


async def test_differ(jobsd_jobs):
    await enqueue(echo, 1)
    assert jobsd_jobs == [echo.job(2), echo.job(3)]


@pytest.mark.parametrize("n", [1, 2])
async def test_worker(jobsd_worker, jobsd_clock, n):
    async with jobsd_worker(retries=0) as worker:
        await enqueue(echo.opts(delay="1h", id="the-same-in-both"), n)
        jobsd_clock.move("1h")
        ran = await worker.run_until_idle()
        assert [run.result for run in ran.runs] == [n]


def test_clock_is_restored():
    import jobsd.clock
    assert jobsd.clock.ahead_ms == 0
"""


def pytest_in(folder: Path, *arguments: str) -> str:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("JOBSD_", "REDIS_", "PYTEST_"))}
    # Not anybody's configuration, and with warnings as errors.
    command = [sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *arguments]
    ended = subprocess.run(
        command,
        cwd=folder,
        env=kept | {"JOBSD_STATE": str(folder / "none"), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    return ended.stdout


def test_its_fixtures_work_without_configuration_and_with_another_plugin_for_async_tests(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(textwrap.dedent(TESTS), "utf-8")
    said = pytest_in(tmp_path, "-p", "no:asyncio", "-p", "no:valkey")
    assert "5 passed" in said, said
    assert "2 failed" in said, said
    assert "<plugin:echo(value=1, queue 'low')> == <plugin:echo(value=2, delay '5m')>" in said, said
    for line in (
        "queue: captured was 'low', expected 'default'",
        "argument value: captured was 1, expected 2",
        "option delay: captured was nothing, expected '5m'",
        "[<plugin:echo(value=1)>] == [<plugin:echo(value=2)>, <plugin:echo(value=3)>]",
        "job 1: argument value: captured was 1, expected 2",
        "the left has 1, the right has 2",
    ):
        assert line in said, said


def test_loading_it_costs_next_to_nothing() -> None:
    found = python(f"import jobsd.testing.plugin, sys\nprint([m for m in {HEAVY} if m in sys.modules])")
    assert found.strip() == "[]"


def test_a_capture_needs_no_more_than_a_client_does() -> None:
    code = """
    import asyncio, sys
    from jobsd import enqueue
    from jobsd.testing import capture
    with capture() as jobs:
        asyncio.run(enqueue("email:send", to="ann"))
    print(jobs, [m for m in ("arq", "asyncpg", "structlog", "typer", "uvloop", "pytest") if m in sys.modules])
    """
    assert python(textwrap.dedent(code)).strip() == "[<email:send(to='ann')>] []"


def test_the_names_of_the_front_door_agree() -> None:
    assert sorted(jobsd.testing._HOMES) == sorted(jobsd.testing.__all__)
    for name in jobsd.testing.__all__:
        assert getattr(jobsd.testing, name) is not None
        assert name in dir(jobsd.testing)
