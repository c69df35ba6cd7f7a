from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import asyncpg
import pytest

from jobsd.errors import SchemaError
from jobsd.events import Event
from jobsd.records import migrate as migrate_module
from jobsd.records.migrate import ensure_schema, known, migrate, pending
from jobsd.records.pool import open_pool
from tests.records.ledger import a_ledger
from tests.relay.conveyor import a_pool
from tests.waiting import until

MIGRATE = """
import asyncio, sys
from jobsd.records.migrate import migrate
from jobsd.records.pool import open_pool

async def main():
    pool = await open_pool(sys.argv[1])
    await pool.fetchval("SELECT 1")
    print("ready", flush=True)
    sys.stdin.readline()
    print(len(await migrate(pool)))
    await pool.close()

asyncio.run(main())
"""


async def test_a_new_database_is_migrated_once(database_url, caplog):
    caplog.set_level(logging.INFO, logger="jobsd")
    pool = await open_pool(database_url)
    assert await pending(pool) == list(known())
    assert await migrate(pool) == list(known())
    assert await pending(pool) == []
    assert await migrate(pool) == []
    await pool.close()
    applied = [record for record in caplog.records if record.msg == Event.MIGRATION_APPLIED]
    assert [record.__dict__["migration"] for record in applied] == [str(migration) for migration in known()]


def test_migrations_are_numbered_without_gaps():
    assert [migration.version for migration in known()] == list(range(1, len(known()) + 1))


async def test_processes_that_migrate_at_once_apply_each_migration_once(database_url):
    running = [
        subprocess.Popen(  # noqa: ASYNC220 - they are started before anything is awaited
            [sys.executable, "-c", MIGRATE, database_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in running:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = await asyncio.gather(*(asyncio.to_thread(process.communicate, timeout=60) for process in running))
    assert [process.returncode for process in running] == [0, 0, 0, 0]
    assert sum(int(out) for out, _ in answers) == len(known())


async def test_a_migration_waits_for_a_reader_and_makes_nobody_wait_behind_it(database_url, caplog, monkeypatch):
    monkeypatch.setattr(migrate_module, "_AGAIN_S", 0.01)
    async with a_pool(database_url) as pool, a_pool(database_url) as reading:
        with monkeypatch.context() as old:
            old.setattr(migrate_module, "known", lambda: known()[:1])
            await migrate(pool)
        async with reading.transaction() as reader:
            await reader.fetchval("SELECT count(*) FROM jobsd.executions")
            migrating = asyncio.create_task(migrate(pool))
            await until(lambda: "migration.waiting" in caplog.messages)
            async with asyncio.timeout(5):  # it is not queued for behind the reader
                await reading.fetchval("SELECT count(*) FROM jobsd.executions")
        assert await migrating == list(known()[1:])
    assert caplog.messages.count("migration.waiting") == 1


async def test_a_role_that_may_not_make_the_schema_is_told_what_an_administrator_types(database_url):
    async with a_pool(database_url) as pool:
        await pool.execute("CREATE ROLE guest LOGIN")
        try:
            async with a_pool(database_url.replace("jobsd@", "guest@", 1)) as guest:
                with pytest.raises(SchemaError, match=r"GRANT CREATE ON DATABASE test_\d+ TO guest, or"):
                    await migrate(guest)
        finally:
            await pool.execute("DROP ROLE guest")


async def test_a_missing_schema_names_the_command_where_migrating_is_by_hand(database_url):
    pool = await open_pool(database_url)
    with pytest.raises(SchemaError, match=r"lacks 0001_executions, .+; run `jobsd migrate`"):
        await ensure_schema(pool, "manual")
    await ensure_schema(pool, "auto")
    await ensure_schema(pool, "manual")
    await pool.close()


@pytest.mark.parametrize("mode", ["auto", "manual"])
async def test_a_schema_newer_than_the_code_is_refused(database_url, mode):
    async with a_ledger(database_url) as pool:
        await pool.execute("INSERT INTO jobsd.migrations VALUES (999, 'from_tomorrow', '')")
        with pytest.raises(SchemaError, match=r"999_from_tomorrow.*`jobsd migrate`"):
            await ensure_schema(pool, mode)


async def test_a_schema_that_another_migration_of_that_number_made_is_refused(database_url):
    async with a_ledger(database_url) as pool:
        await pool.execute("UPDATE jobsd.migrations SET checksum = 'other' WHERE version = 1")
        with pytest.raises(SchemaError, match="0001_executions is not the one"):
            await pending(pool)


async def test_a_migration_that_fails_leaves_nothing_behind(database_url):
    pool = await open_pool(database_url)
    await pool.execute("CREATE SCHEMA jobsd")
    await pool.execute("CREATE TABLE jobsd.records_rejected (mine int)")
    with pytest.raises(Exception, match="already exists"):
        await migrate(pool)
    assert await pending(pool) == list(known())
    assert await pool.fetchval("SELECT to_regclass('jobsd.executions') IS NULL")
    await pool.execute("DROP TABLE jobsd.records_rejected")
    assert await migrate(pool) == list(known())
    await pool.close()


async def test_a_role_that_may_not_create_schemas_uses_the_one_made_for_it(database_url):
    owner = await open_pool(database_url)
    role = f"plain_{await owner.fetchval('SELECT current_database()')}"
    await owner.execute(f"CREATE ROLE {role} LOGIN; CREATE SCHEMA jobsd AUTHORIZATION {role}")
    try:
        pool = await open_pool(database_url.replace("jobsd@", f"{role}@"))
        assert await migrate(pool) == list(known())
        await pool.close()
    finally:
        await owner.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")
        await owner.close()


async def test_tables_of_a_role_that_is_called_like_the_schema_do_not_lie_among_jobsds(database_url):
    pool = await open_pool(database_url)
    await migrate(pool)
    await pool.close()
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT current_user") == "jobsd"
        await connection.execute("CREATE TABLE errors (what text)")
        assert await connection.fetchval("SELECT 'errors'::regclass::text") == "errors"
        assert await connection.fetchval("SELECT to_regclass('public.errors') IS NOT NULL")
    finally:
        await connection.close()
