"""The servers of one run, with their data safe on disk: a Valkey that stays, a Postgres that comes and goes."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from jobsd.embedded import Embedded
from jobsd.embedded.places import Places
from jobsd.embedded.processes import exists, pid_in
from jobsd.records.pool import Pool, open_pool
from jobsd.store.connection import connect
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis


class Postgres:
    """A server with a state directory of its own, so that it is away without Valkey being so."""

    def __init__(self, state: Path) -> None:
        self._embedded = Embedded(state, valkey=False)
        self._pid_file = Places(state).postgres / "postmaster.pid"
        self.url = Places(state).database_url
        self.socket = Places(state).postgres_socket

    def url_at(self, directory: Path) -> str:
        """Return the address of a socket of the same name in another directory."""
        return self.url.replace(quote(str(self.socket.parent), safe=""), quote(str(directory), safe=""))

    async def start(self) -> None:
        await self._embedded.start()

    async def stop(self) -> None:
        await self._embedded.stop()

    async def die(self) -> None:
        """Stop in immediate mode: nothing is written any more, and the next start has to recover."""
        pid = pid_in(self._pid_file)
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        await self.stop()  # who watches over it would start it at once
        await until(lambda: not exists(pid))


class Ground:
    """``place`` is the run's own directory; the daemons and their tasks write there."""

    def __init__(self, place: Path, redis_url: str, redis: Redis, postgres: Postgres, pool: Pool) -> None:
        self.place = place
        self.redis_url = redis_url
        self.redis = redis
        self.postgres = postgres
        self.pool = pool

    def kill_redis(self) -> None:
        """Let who watches over it start it again; what it was told in the last second may be lost."""
        pid = pid_in(_valkey(self.place).valkey_pid)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def a_ground() -> AsyncIterator[Ground]:
    """Start the servers; at the end stop them and remove every trace."""
    place = _new_place()
    postgres = Postgres(place / "postgres")
    try:
        async with Embedded(_valkey(place).state, postgres=False) as embedded:
            try:
                await postgres.start()
                redis_url = embedded.servers.redis_url or ""
                # It is cut off with the others, and connects again by itself.
                redis, pool = connect(redis_url), await open_pool(postgres.url)
                try:
                    yield Ground(place, redis_url, redis, postgres, pool)
                finally:
                    await redis.aclose()
                    await pool.close()
            finally:
                await postgres.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _valkey(place: Path) -> Places:
    return Places(place / "valkey")


def _new_place() -> Path:
    place = Path(tempfile.mkdtemp(prefix="jobsd-chaos-")).resolve()
    place.chmod(0o755)  # as root the servers run as another user, who must be able to reach it
    return place
