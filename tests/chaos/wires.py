"""Wires to the servers that are cut where it hurts most: around a COMMIT, and when Redis has done what it was asked.

Each listens on a socket of its own and passes on what comes, until the dice say otherwise.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from jobsd.store.scripts import source

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping
    from pathlib import Path

WAYS = ("unsent", "sent", "unheard", "late")
"""Where a connection is cut: before COMMIT, right after it, when its answer comes; or COMMIT comes after the cut."""

_CHUNK = 65_536
_COMMIT = b"COMMIT"
_LATE_S = (0.05, 0.8)


class Link:
    """One connection: what the client asks, what the server answers, and where each is written to."""

    def __init__(
        self,
        asked: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> None:
        self.asked = asked
        self.client = client
        self.answers = answers
        self.server = server
        self.deaf = False
        """The client is to hear no further answer: the next one ends the connection."""
        self.question = bytearray()
        """What was asked since the last answer."""

    def close(self) -> None:
        for writer in (self.client, self.server):
            writer.close()


class Wire:
    """Listens on ``path`` for the server that listens on ``target``. Once ``healed`` it cuts no connection any more."""

    def __init__(self, target: Path, path: Path, dice: random.Random) -> None:
        self.cuts: Counter[str] = Counter()
        self.healed = False
        self._target = target
        self._path = path
        self._dice = dice
        self._running: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._accept, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _accept(self, asked: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        running = asyncio.create_task(self._serve(asked, client))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _serve(self, asked: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            answers, server = await asyncio.open_unix_connection(self._target)
        except OSError:  # the server is away, and so are we
            client.close()
            return
        link = Link(asked, client, answers, server)
        down = asyncio.create_task(self._down(link))
        try:
            with suppress(OSError):
                await self._up(link)
        finally:
            link.close()
            down.cancel()
            await asyncio.gather(down, return_exceptions=True)

    async def _up(self, link: Link) -> None:
        while data := await link.asked.read(_CHUNK):
            if not await self._ask(link, data):
                return

    async def _down(self, link: Link) -> None:
        with suppress(OSError):
            while (data := await link.answers.read(_CHUNK)) and not link.deaf and self._is_heard(link, data):
                link.client.write(data)
                await link.client.drain()
        link.close()

    async def _ask(self, link: Link, data: bytes) -> bool:
        """Send on what the client asks; say whether the connection goes on."""
        link.server.write(data)
        await link.server.drain()
        return True

    def _is_heard(self, link: Link, data: bytes) -> bool:  # noqa: ARG002 - others look at it
        """Say whether an answer reaches the client; if not, the connection ends."""
        return True


class PostgresWire(Wire):
    """Cuts a part of the connections at COMMIT: before it is sent, after it, after its answer.

    In the worst way it arrives late: the client has been cut off before, and may already ask what came of it.
    """

    def __init__(self, target: Path, path: Path, dice: random.Random, *, rate: float) -> None:
        super().__init__(target, path, dice)
        self._rate = rate

    async def _ask(self, link: Link, data: bytes) -> bool:
        if data[:1] != b"Q" or not data.startswith(_COMMIT, 5) or self.healed or self._dice.random() >= self._rate:
            return await super()._ask(link, data)
        way = self._dice.choice(WAYS)
        self.cuts[way] += 1
        match way:
            case "unsent":
                return False
            case "sent":
                await super()._ask(link, data)
                return False
            case "late":
                link.deaf = True
                link.client.close()
                await asyncio.sleep(self._dice.uniform(*_LATE_S))
                await super()._ask(link, data)
                return False
            case _:
                link.deaf = True
                return await super()._ask(link, data)


class RedisWire(Wire):
    """Swallows answers of scripts, each at its rate, and cuts their connections. Of claims those that hand out jobs."""

    def __init__(self, target: Path, path: Path, dice: random.Random, *, rates: Mapping[str, float]) -> None:
        super().__init__(target, path, dice)
        self._rates = {name: (_sha(name), rate) for name, rate in rates.items()}

    async def _ask(self, link: Link, data: bytes) -> bool:
        link.question += data
        return await super()._ask(link, data)

    def _is_heard(self, link: Link, data: bytes) -> bool:
        question = bytes(link.question)
        link.question.clear()
        if self.healed:
            return True
        for name, (sha, rate) in self._rates.items():
            if sha in question and not data.startswith(b"-") and (name != "claim" or b'{"i":"' in data):
                if self._dice.random() < rate:
                    self.cuts[name] += 1
                    return False
                return True
        return True


def _sha(script: str) -> bytes:
    return hashlib.sha1(source(script).encode(), usedforsecurity=False).hexdigest().encode()
