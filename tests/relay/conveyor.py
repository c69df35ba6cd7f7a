"""What the relay's tests stand on: records in a stream, a ledger, and a gate to shut between it and Postgres."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from pydantic_core import to_json
from redis.asyncio import Redis

from jobsd.execution import LOST_MARK, UntoldRun
from jobsd.records.pool import Pool, open_pool
from jobsd.relay.intake import Intake
from jobsd.relay.recorder import Recorder
from jobsd.store.keys import records_key
from jobsd.store.record_stream import RecordStream
from tests.records.ledger import NOON_MS, an_execution

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = records_key()

LOST = UntoldRun(
    LOST_MARK,
    "job-1",
    "default",
    1,
    NOON_MS - 1000,
    NOON_MS,
    NOON_MS + 9000,
    "host-1",
    "requeued",
    "its worker fell silent",
)


def a_value(**facts: Any) -> bytes:
    return to_json(an_execution(**facts))


def a_lost_value(payload: bytes, **facts: Any) -> bytes:
    return to_json(LOST._replace(**facts)) + b"\n" + payload


def values(*job_ids: str) -> dict[str, bytes]:
    return {job_id: a_value(job_id=job_id) for job_id in job_ids}


@asynccontextmanager
async def a_redis(url: str) -> AsyncIterator[Redis]:
    redis = Redis.from_url(url)
    try:
        yield redis
    finally:
        await redis.aclose()


class Belt:
    """A stream with its recorders on one side and a ledger on the other."""

    def __init__(self, redis: Redis, redis_url: str, pool: Pool) -> None:
        self.redis = redis
        self.pool = pool
        self._redis_url = redis_url
        self._clients: list[Redis] = []

    def stream(self, consumer: str = "one") -> RecordStream:
        client = Redis.from_url(self._redis_url)
        self._clients.append(client)
        return RecordStream(client, consumer)

    def recorder(self, consumer: str = "one", *, silent_ms: int = 60_000, block_ms: int = 20) -> Recorder:
        stream = self.stream(consumer)
        intake = Intake(stream, block_ms=block_ms, silent_ms=silent_ms)
        return Recorder(stream, self.pool, migrate="auto", intake=intake)

    async def put(self, records: dict[str, bytes]) -> bytes:
        return await self.redis.xadd(KEY, dict(records))

    async def rows(self) -> list[dict[str, Any]]:
        found = await self.pool.fetch("SELECT * FROM jobsd.executions ORDER BY job_id, attempt, started_at")
        return [dict(row) for row in found]

    async def recorded(self) -> list[str]:
        return [row["job_id"] for row in await self.rows()]

    async def rejected(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.pool.fetch("SELECT * FROM jobsd.records_rejected ORDER BY id")]

    async def left(self) -> int:
        return await self.redis.xlen(KEY)

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


@asynccontextmanager
async def a_pool(url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(url)
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def a_belt(redis_url: str, database_url: str) -> AsyncIterator[Belt]:
    async with a_redis(redis_url) as redis, a_pool(database_url) as pool:
        belt = Belt(redis, redis_url, pool)
        try:
            yield belt
        finally:
            await belt.close()


class Gate:
    """A socket before Postgres. Shut, it drops its connections and is not there, as a server that is down."""

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        host = parse_qs(parts.query).get("host", [""])[0]
        port = parts.port or 5432
        self._target = (f"{host}/.s.PGSQL.{port}",) if host.startswith("/") else (parts.hostname or host, port)
        self._folder = Path(tempfile.mkdtemp(prefix="gate-"))
        user = parts.netloc.rpartition("@")[0]
        self.url = f"postgresql://{user}@{parts.path}?host={quote(str(self._folder), safe='')}"
        self.url = self.url.replace(f"@{parts.path}", f"@/{parts.path.lstrip('/')}")
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._pass, self._folder / ".s.PGSQL.5432")

    async def shut(self) -> None:
        if self._server:
            self._server.close()
            (self._folder / ".s.PGSQL.5432").unlink()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()
        while self._open:
            await asyncio.sleep(0)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connect = asyncio.open_unix_connection if len(self._target) == 1 else asyncio.open_connection
        other_reader, other_writer = await connect(*self._target)
        self._open |= {writer, other_writer}
        try:
            await asyncio.gather(_pump(reader, other_writer), _pump(other_reader, writer))
        finally:
            self._open -= {writer, other_writer}
            writer.close()
            other_writer.close()

    async def remove(self) -> None:
        await self.shut()
        shutil.rmtree(self._folder)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.transport.abort()


@asynccontextmanager
async def a_gate(database_url: str) -> AsyncIterator[Gate]:
    gate = Gate(database_url)
    try:
        yield gate
    finally:
        await gate.remove()
