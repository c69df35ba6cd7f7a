"""A wire to Postgres that breaks where nobody knows any more what became of a COMMIT."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

from jobsd.records.pool import open_task_pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

Way: TypeAlias = Literal["unsent", "unheard", "late", "held"]
"""The connection ends before COMMIT is sent; when its answer comes; or the client's does, and COMMIT comes when
``go_on`` is set. ``held``: it comes then, and nothing is cut."""

_COMMIT = b"COMMIT;"
_NAME = ".s.PGSQL.5432"


class CommitWire:
    """Passes on what comes. Each COMMIT takes the next of ``ways``; without one it is passed on like anything else."""

    def __init__(self, target: Path) -> None:
        self.ways: list[Way] = []
        self.shut = False
        """Nobody is let in any more."""
        self.at_commit = asyncio.Event()
        self.go_on = asyncio.Event()
        self.url = ""
        self._target = target
        self._running: set[asyncio.Task[None]] = set()

    def accept(self, asked: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        running = asyncio.create_task(self._serve(asked, client))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def close(self) -> None:
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _serve(self, asked: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if self.shut:
            client.close()
            return
        answers, server = await asyncio.open_unix_connection(self._target)
        down = asyncio.create_task(_pump(answers, client))
        try:
            while data := await asked.read(65536):
                way = self.ways.pop(0) if data.startswith(_COMMIT, 5) and self.ways else None
                if way is not None:
                    self.at_commit.set()
                if way == "unsent":
                    return
                if way in {"unheard", "late"}:
                    down.cancel()
                    await asyncio.gather(down, return_exceptions=True)
                if way == "late":
                    client.close()
                if way in {"late", "held"}:
                    await self.go_on.wait()
                server.write(data)
                if way == "unheard":
                    await answers.read(65536)
                    return
        finally:
            client.close()
            server.close()
            down.cancel()
            await asyncio.gather(down, return_exceptions=True)


async def _pump(answers: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await answers.read(65536):
            client.write(data)
    client.close()


@asynccontextmanager
async def a_wire(database_url: str, folder: Path) -> AsyncIterator[tuple[CommitWire, Any]]:
    """Return a wire to that Postgres, and a pool for tasks that goes through it."""
    parts = urlsplit(database_url)
    wire = CommitWire(Path(dict(parse_qsl(parts.query))["host"]) / _NAME)
    server = await asyncio.start_unix_server(wire.accept, folder / _NAME)
    wire.url = parts._replace(query=urlencode({"host": str(folder)})).geturl()
    pool = await open_task_pool(wire.url)
    try:
        yield wire, pool
    finally:
        pool.terminate()
        await wire.close()
        server.close()
