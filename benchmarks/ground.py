"""The servers that everything is measured on: our own, as `jobsd dev` starts them, in a directory of this run."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jobsd.embedded import Embedded
from jobsd.embedded.places import Places
from jobsd.records.migrate import migrate
from jobsd.records.pool import Pool, open_pool
from jobsd.store.connection import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

_PROC = Path("/proc")
_REWRITE_WITHIN_S = 30.0


class Cpu(NamedTuple):
    """Seconds of CPU that each server has used so far; nan where the system does not tell."""

    valkey_s: float
    postgres_s: float


class Ground:
    """Two running servers, emptied between measurements."""

    def __init__(self, places: Places, redis: Redis, pool: Pool) -> None:
        self.redis_url = places.redis_url
        self.redis_socket = str(places.valkey_socket)
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
        await self.pool.execute("TRUNCATE jobsd.executions")
        await self.pool.execute("CHECKPOINT")

    def cpu(self) -> Cpu:
        postmaster = (self._places.postgres / "postmaster.pid").read_text().split()[0]
        return Cpu(_cpu_s(int(self._places.valkey_pid.read_text())), _cpu_s(int(postmaster)))

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
async def a_ground() -> AsyncIterator[Ground]:
    """Start the servers; stop them and remove every trace at the end, whatever the end is."""
    state = _new_state()
    try:
        async with Embedded(state) as embedded:
            redis, pool = (
                connect(embedded.servers.redis_url or ""),
                await open_pool(embedded.servers.database_url or ""),
            )
            try:
                await migrate(pool)
                yield Ground(Places(state), redis, pool)
            finally:
                await redis.aclose()
                await pool.close()
    finally:
        shutil.rmtree(state, ignore_errors=True)


def _new_state() -> Path:
    state = Path(tempfile.mkdtemp(prefix="jobsd-bench-")).resolve()
    state.chmod(0o755)  # as root the servers run as another user, who must be able to reach it
    return state


def _cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and its children, those that have ended and those that live."""
    try:
        _, own, reaped = _times(pid)
    except (OSError, ValueError, AttributeError):  # gone, or a system without /proc
        return float("nan")
    total = own + reaped
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                parent, used, _ = _times(int(entry.name))
            except (OSError, ValueError):
                continue  # it ended meanwhile
            total += used if parent == pid else 0
    return total


def _times(pid: int) -> tuple[int, float, float]:
    """Return the parent's pid, the process's own CPU seconds, and those of children that it has waited for."""
    # The name in parentheses may hold blanks; what follows it never does. See proc(5), fields 4 and 14 to 17.
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    tick = os.sysconf("SC_CLK_TCK")
    user, system, reaped_user, reaped_system = (int(field) / tick for field in fields[11:15])
    return int(fields[1]), user + system, reaped_user + reaped_system
