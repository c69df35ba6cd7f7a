"""The servers that the demo stands on: its own, and empty whatever an earlier demo has left."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demo import CHECKOUT, DemoError
from jobsd.embedded import Embedded
from jobsd.errors import EmbeddedError
from jobsd.records.pool import Pool, open_pool
from jobsd.store.connection import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from redis.asyncio import Redis


@dataclass(frozen=True)
class Ground:
    """Two running servers, and the directory that holds everything."""

    state: Path
    redis_url: str
    database_url: str
    redis: Redis
    pool: Pool
    began_at: datetime  # by Postgres' clock

    @property
    def exports(self) -> Path:
        return self.state / "exports"

    @property
    def log(self) -> Path:
        return self.state / "daemon.log"

    async def versions(self) -> str:
        server = await self.redis.info("server")
        postgres = str(await self.pool.fetchval("SHOW server_version")).split()[0]
        name = "Valkey" if "valkey_version" in server else "Redis"
        return f"{name} {server.get('valkey_version') or server['redis_version']} and PostgreSQL {postgres}"


@asynccontextmanager
async def a_ground(state: Path, note: Callable[[str], None]) -> AsyncIterator[Ground]:
    """Start the servers, in ``state`` or, where they cannot run there, below the system's directory for such things."""
    embedded = Embedded(state)
    try:
        await embedded.start()
    except EmbeddedError as error:
        state = _elsewhere()
        note(f"{str(error).splitlines()[0]}\nSo the demo uses {state} instead.")
        embedded = Embedded(state)
        await embedded.start()
    try:
        if not embedded.owner:
            raise DemoError(f"a demo runs in {state} already: stop it, or choose another directory with --state")
        servers = embedded.servers
        redis, pool = connect(servers.redis_url or "", connections=4), await open_pool(servers.database_url or "")
        try:
            await _clear(redis, pool)
            began_at = await pool.fetchval("SELECT now()")
            yield Ground(state, servers.redis_url or "", servers.database_url or "", redis, pool, began_at)
        finally:
            await redis.aclose()
            await pool.close()
    finally:
        await embedded.stop()


async def _clear(redis: Redis, pool: Pool) -> None:
    await redis.flushall()
    # The ledger too: it may be the work of another version of jobsd.
    await pool.execute("DROP SCHEMA IF EXISTS jobsd, shop CASCADE")


def _elsewhere() -> Path:
    """Return a directory that the servers can reach: the same for each demo of this checkout, if it is safe."""
    checkout = hashlib.sha256(os.fsencode(CHECKOUT)).hexdigest()[:8]
    usual = Path(tempfile.gettempdir(), f"jobsd-demo-{os.geteuid()}-{checkout}")
    mode = 0o755 if os.geteuid() == 0 else 0o700  # as root the servers run as another user
    usual.mkdir(mode, exist_ok=True)
    found = usual.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022:
        return usual
    fresh = Path(tempfile.mkdtemp(prefix="jobsd-demo-"))
    fresh.chmod(mode)
    return fresh
