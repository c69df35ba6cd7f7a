"""`jobsd cron` on the servers of a test, and the schedules that it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from jobsd.cli import app
from tests.admin.bureau import Bureau, a_bureau

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from click.testing import Result


@pytest.fixture(autouse=True)
def wide(monkeypatch) -> None:
    """A table is as wide as it likes, if a test says nothing else."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def run(monkeypatch, tmp_path, redis_url) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBSD_REDIS_URL", redis_url)
    for name in ("JOBSD_DATABASE_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def asked(*words: str, catch_exceptions: bool = False) -> Result:
        return CliRunner().invoke(app, ["cron", *words], catch_exceptions=catch_exceptions)

    return asked


@pytest.fixture
async def bureau(redis_url, redis) -> AsyncIterator[Bureau]:
    async with a_bureau(redis_url, redis, None) as made:
        yield made
