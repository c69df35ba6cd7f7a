from __future__ import annotations

import pytest

from jobsd.errors import UnreachableError
from jobsd.records.pool import open_pool


async def test_a_pool_is_opened_while_postgres_is_away_and_its_use_says_so_without_the_password(tmp_path):
    pool = await open_pool(f"postgresql://jobsd:secret@/jobs?host={tmp_path}")
    with pytest.raises(UnreachableError, match=r"Postgres at postgresql://jobsd:\*\*\*@/jobs") as caught:
        await pool.fetchval("SELECT 1")
    assert "secret" not in str(caught.value)
    await pool.close()


async def test_a_database_that_does_not_exist_yet_is_out_of_reach(database_url):
    here = await open_pool(database_url)
    name = await here.fetchval("SELECT current_database()")
    pool = await open_pool(database_url.replace(name, f"{name}_not"))
    with pytest.raises(UnreachableError, match="does not exist"):
        await pool.fetchval("SELECT 1")
    await pool.close()
    await here.close()


async def test_a_pool_heals_after_its_connections_were_cut(database_url):
    pool, other = await open_pool(database_url, size=1), await open_pool(database_url, size=1)

    async def cut_while_held() -> None:
        async with pool.connection() as connection:
            backend = await connection.fetchval("SELECT pg_backend_pid()")
            await other.fetchval("SELECT pg_terminate_backend($1, 5000)", backend)
            await connection.fetchval("SELECT 1")

    with pytest.raises(UnreachableError):
        await pool.fetchval("SELECT pg_terminate_backend(pg_backend_pid(), 5000)")
    with pytest.raises(UnreachableError):
        await cut_while_held()
    assert await pool.fetchval("SELECT 1") == 1
    await pool.close()
    await other.close()


async def test_a_statement_that_takes_too_long_is_given_up(database_url, monkeypatch):
    monkeypatch.setattr("jobsd.records.pool.COMMAND_TIMEOUT_S", 0.05)
    pool = await open_pool(database_url)
    with pytest.raises(UnreachableError, match="no answer in time"):
        await pool.fetchval("SELECT pg_sleep(60)")
    await pool.close()
