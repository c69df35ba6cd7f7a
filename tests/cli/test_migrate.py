from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

import asyncpg
import pytest

from jobsd import cli
from jobsd.records.migrate import known
from tests.records.ledger import a_ledger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

APPLIED = [f"applied {migration}" for migration in known()]
VIEWS = ["made view public.job_executions", "made view public.job_log"]


class Ended(NamedTuple):
    exit_code: int
    out: list[str]
    errors: list[str]


@pytest.fixture
def migrate(monkeypatch, tmp_path, capsys) -> Callable[..., Awaitable[Ended]]:
    for name in os.environ:
        if name.startswith(("JOBSD_", "REDIS_", "DATABASE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("JOBSD_REDIS_URL", "unix:///nowhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["jobsd", "migrate"])

    async def run(url: str | None, *, views: str | None = None) -> Ended:
        for name, value in {"JOBSD_DATABASE_URL": url, "JOBSD_RECORDS__VIEWS": views}.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(cli.run)
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out.splitlines(), said.err.splitlines())

    return run


async def sql(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def test_a_fresh_database_gets_tables_and_views_and_the_second_time_is_quiet(database_url, migrate):
    assert await migrate(database_url) == (0, [*APPLIED, *VIEWS], [])
    assert await migrate(database_url) == (0, ["the schema is up to date"], [])


async def test_views_that_are_missing_are_made_though_the_tables_are_there(database_url, migrate):
    async with a_ledger(database_url):
        assert await migrate(database_url) == (0, VIEWS, [])


async def test_none_is_no_views(database_url, migrate):
    assert await migrate(database_url, views="none") == (0, APPLIED, [])
    assert await migrate(database_url, views="none") == (0, ["the schema is up to date"], [])


async def test_a_name_that_is_taken_is_said_and_no_failure(database_url, migrate):
    await sql(database_url, "CREATE TABLE public.job_log (mine int)")
    said = [
        "no view public.job_log: there is a table of that name that jobsd did not make",
        "  give it another name, or set records.views to another schema",
    ]
    assert await migrate(database_url) == (0, [*APPLIED, VIEWS[0]], said)
    assert await migrate(database_url) == (0, ["the schema is up to date"], said)


async def test_a_schema_that_does_not_exist_ends_with_2_after_the_tables_were_made(database_url, migrate):
    ended = await migrate(database_url, views="reprots")
    assert (ended.exit_code, ended.out) == (2, APPLIED)
    [line] = ended.errors
    assert line.startswith("jobsd: records.views: the database at postgresql://")
    assert line.endswith("has no schema 'reprots'; create it, or set records.views to another one or to \"none\"")


async def test_postgres_away_ends_with_3(tmp_path, migrate):
    ended = await migrate(f"postgresql://app:hunter2@/shop?host={tmp_path}")
    assert (ended.exit_code, ended.out) == (3, [])
    [line] = ended.errors
    assert line.startswith("jobsd: Postgres at postgresql://app:***@/shop")
    assert "is out of reach" in line


async def test_a_schema_newer_than_the_command_ends_with_2(database_url, migrate):
    async with a_ledger(database_url) as pool:
        await pool.execute("INSERT INTO jobsd.migrations VALUES (999, 'from_tomorrow', '')")
    ended = await migrate(database_url)
    assert (ended.exit_code, ended.out) == (2, [])
    assert ended.errors[0].startswith("jobsd: the ledger's schema is at 0999_from_tomorrow, this jobsd ends at ")


async def test_no_database_configured_ends_with_2(migrate):
    said = "jobsd: no address for Postgres: set JOBSD_DATABASE_URL or database_url in jobsd.toml"
    assert await migrate(None) == (2, [], [said])
