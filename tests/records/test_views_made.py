"""How the views come to be, and what is left alone. What they say is in test_views.py."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from jobsd.errors import SettingsError
from jobsd.events import Event
from jobsd.records.pool import open_pool
from jobsd.records.views import View, ensure_views, provide_views
from jobsd.records.writing import write
from tests.records.ledger import a_ledger, a_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobsd.records.pool import Pool

EXECUTIONS, LOG = "public.job_executions", "public.job_log"
OURS_OF_YORE = "COMMENT ON VIEW public.job_log IS 'As it was. (jobsd 0123456789ab)'"
WITH_OTHER_COLUMNS = "CREATE VIEW public.job_log AS SELECT job_id, 1 AS old FROM jobsd.executions"


@asynccontextmanager
async def a_plain_role(pool: Pool, url: str) -> AsyncIterator[tuple[str, Pool]]:
    """Return a role that may do nothing yet, and a pool of its own."""
    role = f"Plain_{await pool.fetchval('SELECT current_database()')}"
    await pool.execute(f'CREATE ROLE "{role}" LOGIN')
    plain = await open_pool(url.replace("jobsd@", f"{role}@"))
    try:
        yield role, plain
    finally:
        await plain.close()
        await pool.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')


async def comment(pool: Pool, view: str) -> str:
    return await pool.fetchval("SELECT obj_description($1::text::regclass, 'pg_class')", view)


async def test_the_views_are_made_once_and_say_what_they_are(ledger_url):
    async with a_ledger(ledger_url) as pool:
        assert await ensure_views(pool, "public") == [View(EXECUTIONS, "made"), View(LOG, "made")]
        assert await ensure_views(pool, "public") == []
        assert (await comment(pool, "job_executions")).startswith("One row for every attempt that ran, ")
        assert (await comment(pool, "job_log")).startswith("One row for every job that ended, ")


async def test_processes_that_make_them_at_once_make_them_once(ledger_url):
    async with a_ledger(ledger_url) as pool:
        others = [await open_pool(ledger_url) for _ in range(3)]
        answers = await asyncio.gather(*(ensure_views(each, "public") for each in (pool, *others)))
        for other in others:
            await other.close()
    assert sorted(view for views in answers for view in views) == [View(EXECUTIONS, "made"), View(LOG, "made")]


@pytest.mark.parametrize("schema", ["reports", "Mixed_Case", "select", 'x"; DROP SCHEMA jobsd CASCADE; --'])
async def test_they_are_in_the_schema_that_is_named_and_nowhere_else(ledger_url, schema):
    async with a_ledger(ledger_url) as pool:
        await pool.execute(await pool.fetchval("SELECT format('CREATE SCHEMA %I', $1::text)", schema))
        assert [view.state for view in await ensure_views(pool, schema)] == ["made", "made"]
        assert await ensure_views(pool, schema) == []
        sql = "SELECT DISTINCT schemaname FROM pg_views WHERE viewname IN ('job_executions', 'job_log')"
        assert [row["schemaname"] for row in await pool.fetch(sql)] == [schema]
        assert await pool.fetchval("SHOW search_path") == '"$user", public'


async def test_a_view_of_an_older_version_is_replaced_and_its_readers_keep_their_right(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await ensure_views(pool, "public")
        async with a_plain_role(pool, ledger_url) as (role, plain):
            await pool.execute(f'GRANT SELECT ON job_log TO "{role}"')
            await pool.execute(OURS_OF_YORE)
            assert await ensure_views(pool, "public") == [View(LOG, "replaced")]
            assert await ensure_views(pool, "public") == []
            await write(pool, [a_record()])
            assert await plain.fetchval("SELECT status FROM job_log") == "COMPLETED"


async def test_a_view_of_an_older_version_with_other_columns_is_made_anew(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await pool.execute(WITH_OTHER_COLUMNS)
        await pool.execute(OURS_OF_YORE)
        assert await ensure_views(pool, "public") == [View(EXECUTIONS, "made"), View(LOG, "replaced")]
        assert await ensure_views(pool, "public") == []
        assert await pool.fetch("SELECT id, status FROM job_log") == []


async def test_one_that_others_build_on_is_left_as_it_was(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await pool.execute(WITH_OTHER_COLUMNS)
        await pool.execute(OURS_OF_YORE)
        await pool.execute("CREATE VIEW public.theirs AS SELECT old FROM job_log")
        _, view = await ensure_views(pool, "public")
        assert (view.name, view.state) == (LOG, "skipped")
        assert view.cause == (
            "cannot drop view job_log because other objects depend on it: view theirs depends on view job_log"
        )
        assert await pool.fetch("SELECT old FROM theirs") == []


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("table", "CREATE TABLE public.job_log (mine int)"),
        ("table", "CREATE TABLE public.job_log (mine int) PARTITION BY RANGE (mine)"),
        ("view", "CREATE VIEW public.job_log AS SELECT 1 AS mine"),
        ("view", "CREATE VIEW public.job_log AS SELECT 1 AS mine; COMMENT ON VIEW public.job_log IS 'See (jobsd 2).'"),
        ("materialized view", "CREATE MATERIALIZED VIEW public.job_log AS SELECT 1 AS mine"),
        ("sequence", "CREATE SEQUENCE public.job_log"),
        ("index", "CREATE TABLE public.t (mine int); CREATE INDEX job_log ON public.t (mine)"),
        ("type", "CREATE TYPE public.job_log AS ENUM ('mine')"),
    ],
)
async def test_what_has_the_name_already_is_left_alone(ledger_url, kind, sql):
    async with a_ledger(ledger_url) as pool:
        await pool.execute(sql)
        before = await pool.fetch("SELECT oid, relname, xmin::text FROM pg_class WHERE relname = 'job_log'")
        made, skipped = await ensure_views(pool, "public")
        assert made == View(EXECUTIONS, "made")
        assert (skipped.name, skipped.state) == (LOG, "skipped")
        assert skipped.cause == f"there is a {kind} of that name that jobsd did not make"
        assert await pool.fetch("SELECT oid, relname, xmin::text FROM pg_class WHERE relname = 'job_log'") == before


async def test_a_schema_that_does_not_exist_is_an_error_that_names_the_setting(ledger_url):
    async with a_ledger(ledger_url) as pool:
        with pytest.raises(
            SettingsError, match=r"^records.views: the database at .* has no schema 'reprots'; create it"
        ):
            await ensure_views(pool, "reprots")
        assert await pool.fetchval("SELECT to_regnamespace('reprots') IS NULL")


async def test_a_role_that_may_not_create_is_told_what_an_administrator_types_and_that_helps(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await pool.execute("CREATE SCHEMA reports")
        async with a_plain_role(pool, ledger_url) as (role, plain):
            refused = await ensure_views(plain, "reports")
            assert [view.state for view in refused] == ["skipped", "skipped"]
            assert {view.cause for view in refused} == {"this role may not create anything in that schema"}
            [remedy] = {view.remedy for view in refused}
            assert remedy == f'GRANT USAGE, CREATE ON SCHEMA reports TO "{role}"'
            await pool.execute(remedy)
            await pool.execute(f'GRANT USAGE ON SCHEMA jobsd TO "{role}"')  # as the one who migrates has it
            assert [view.state for view in await ensure_views(plain, "reports")] == ["made", "made"]


async def test_a_view_of_ours_that_belongs_to_another_role_is_left_as_it_was(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await ensure_views(pool, "public")
        await pool.execute(OURS_OF_YORE)
        async with a_plain_role(pool, ledger_url) as (role, plain):
            await pool.execute(f'GRANT CREATE ON SCHEMA public TO "{role}"; GRANT USAGE ON SCHEMA jobsd TO "{role}"')
            assert await ensure_views(plain, "public") == [View(LOG, "skipped", "must be owner of view job_log")]


async def test_behind_a_long_reader_it_gives_up_and_says_so(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await ensure_views(pool, "public")
        await pool.execute(OURS_OF_YORE)
        async with pool.transaction() as reader:
            await reader.fetch("SELECT count(*) FROM job_log")
            [view] = await ensure_views(pool, "public")
        assert view == View(LOG, "skipped", "canceling statement due to lock timeout")
        assert await ensure_views(pool, "public") == [View(LOG, "replaced")]


async def test_a_daemon_logs_what_came_of_it_and_goes_on(ledger_url, caplog):
    caplog.set_level(logging.INFO, logger="jobsd")
    async with a_ledger(ledger_url) as pool:
        await pool.execute("CREATE TABLE public.job_log (mine int)")
        caplog.clear()
        await provide_views(pool, "public")
        await provide_views(pool, "reprots")
    lines = [(record.msg, record.levelname, record.__dict__.get("view")) for record in caplog.records]
    assert lines == [
        (Event.VIEW_MADE, "INFO", EXECUTIONS),
        (Event.VIEW_SKIPPED, "WARNING", LOG),
        (Event.VIEW_SKIPPED, "WARNING", None),
    ]
    assert "'reprots'" in caplog.records[-1].__dict__["cause"]
