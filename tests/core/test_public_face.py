from __future__ import annotations

import os
import subprocess
import sys

import pytest

import jobsd

_HEAVY = ("arq", "asyncpg", "redis", "pydantic", "structlog", "asyncio")


def python(code: str, **env: str) -> str:
    """Run ``code`` in a fresh interpreter whose warnings are errors, and return what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JOBSD_", "REDIS_"))}
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        env=kept | env,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return ended.stdout


@pytest.mark.parametrize("name", jobsd.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(jobsd, name) is not None
    assert name in dir(jobsd)


def test_the_lists_of_names_agree() -> None:
    assert sorted(jobsd._HOMES) == sorted(jobsd.__all__)


def test_no_module_bears_the_name_of_a_public_object() -> None:
    modules = {name.split(".")[-1] for name in jobsd._HOMES.values()}
    assert modules.isdisjoint(jobsd.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        jobsd.nonsense  # noqa: B018


@pytest.mark.parametrize("names", ["enqueue", "enqueue, enqueue_many", "Retry, Snooze, SkipRetry, Drop"])
def test_importing_a_light_name_imports_nothing_heavy(names: str) -> None:
    found = python(f"from jobsd import {names}\nimport sys\nprint([m for m in {_HEAVY} if m in sys.modules])")
    assert found.strip() == "[]"


def test_the_client_needs_only_redis_and_pydantic() -> None:
    heavy = ("arq", "asyncpg", "structlog", "typer", "uvloop")
    found = python(f"from jobsd import Client, task\nimport sys\nprint([m for m in {heavy} if m in sys.modules])")
    assert found.strip() == "[]"
