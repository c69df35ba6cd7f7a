"""The servers that everything is measured on: our own, as `jobsd dev` starts them, in a directory of this run."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.accounting import cpu_s
from jobsd.embedded import Embedded
from jobsd.embedded.places import Places
from jobsd.records.migrate import migrate
from jobsd.records.pool import Pool, open_pool
from jobsd.store.connection import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

_REWRITE_WITHIN_S = 30.0


class Cpu(NamedTuple):
    """Seconds of CPU that each server has used so far; nan where the system does not tell."""

    valkey_s: float
    postgres_s: float


class Ground:
    """Two running servers, emptied between measurements."""

    def __init__(self, places: Places, redis_url: str, redis: Redis, pool: Pool) -> None:
        self.redis_url = redis_url
        self.database_url = places.database_url
        self.redis = redis
        self.pool = pool
        self._places = places

    async def clear(self) -> None:
        """Forget all jobs and rows; no rewrite or checkpoint that is due comes out of the next measurement's time."""
        await self.redis.flushall()
        await self._rewritten()
        await self.redis.bgrewriteaof()
        await self._rewritten()
        await self.pool.execute("TRUNCATE jobsd.executions, jobsd.outbox, jobsd.effects, jobsd.steps")
        await self.pool.execute("CHECKPOINT")

    @asynccontextmanager
    async def never_rewriting(self) -> AsyncIterator[None]:
        """Let no rewrite of the AOF begin by itself meanwhile."""
        name = "auto-aof-rewrite-percentage"
        before = (await self.redis.config_get(name))[name]
        await self.redis.config_set(name, 0)
        try:
            yield
        finally:
            await self.redis.config_set(name, before)

    def cpu(self) -> Cpu:
        return Cpu(*map(cpu_s, self.servers()))

    def servers(self) -> tuple[int, int]:
        """Return the processes of Valkey and Postgres."""
        postmaster = (self._places.postgres / "postmaster.pid").read_text().split()[0]
        return int(self._places.valkey_pid.read_text()), int(postmaster)

    async def commands(self) -> int:
        """Return how many commands Valkey has carried out so far, those that scripts call among them."""
        return sum(each["calls"] for each in (await self.redis.info("commandstats")).values())

    async def versions(self) -> dict[str, str]:
        server = await self.redis.info("server")
        return {
            server.get("server_name", "redis"): server.get("valkey_version") or server["redis_version"],
            "postgres": (await self.pool.fetchval("SHOW server_version")).split()[0],
        }

    async def _rewritten(self) -> None:
        async with asyncio.timeout(_REWRITE_WITHIN_S):
            while True:
                state = await self.redis.info("persistence")
                if not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]:
                    return
                await asyncio.sleep(0.02)


@asynccontextmanager
async def a_ground(*, tcp: bool = False) -> AsyncIterator[Ground]:
    """Start the servers; stop them and remove every trace at the end, whatever the end is.

    Valkey is reached by its socket, or with ``tcp`` by a port of this machine, which costs everybody more.
    """
    state = _new_state()
    try:
        async with Embedded(state) as embedded:
            database_url = embedded.servers.database_url or ""
            await migrated(database_url)
            redis, pool = connect(embedded.servers.redis_url or ""), await open_pool(database_url)
            try:
                places = Places(state)
                yield Ground(places, await _by_tcp(redis) if tcp else places.redis_url, redis, pool)
            finally:
                await redis.aclose()
                await pool.close()
    finally:
        shutil.rmtree(state, ignore_errors=True)


async def migrated(database_url: str) -> None:
    """Do so on connections of its own: what a role finds without a schema's name is settled when it connects."""
    pool = await open_pool(database_url)
    try:
        await migrate(pool)
    finally:
        await pool.close()


async def _by_tcp(redis: Redis) -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    await redis.config_set("bind", "127.0.0.1")
    await redis.config_set("port", port)
    return f"redis://127.0.0.1:{port}"


def _new_state() -> Path:
    state = Path(tempfile.mkdtemp(prefix="jobsd-bench-")).resolve()
    state.chmod(0o755)  # as root the servers run as another user, who must be able to reach it
    return state
