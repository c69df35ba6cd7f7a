"""A proxy before Redis that swallows answers: the command ran, and its caller never hears."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def every_answer(_: bytes, answer: bytes) -> bool:
    """Choose every answer but those of the handshake, and those that only ask for a script's text."""
    return not answer.startswith((b"+OK", b"-NOSCRIPT"))


class Proxy:
    """Listens on ``path``. While ``swallowing`` is above 0, an answer is dropped with its connection.

    ``chooses`` tells from what was asked and how the answer begins whether it is meant.
    """

    def __init__(self, redis_url: str, path: Path, *, chooses: Callable[[bytes, bytes], bool] = every_answer) -> None:
        parts = urlsplit(redis_url)
        self._target = parts.path
        self._path = path
        self.url = f"unix://{path}?{parts.query}"
        self.swallowing = 0
        self.swallowed = 0
        self.chooses = chooses
        self._open: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._accept, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.close()
        if self._pumps:
            await asyncio.wait(self._pumps)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._target)
        self._open |= {writer, back}
        asked = bytearray()
        for pump in (self._up(reader, back, asked), self._down(there, writer, back, asked)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _up(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, asked: bytearray) -> None:
        while data := await reader.read(65536):
            asked += data
            back.write(data)
        back.close()

    async def _down(
        self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter, asked: bytearray
    ) -> None:
        while data := await there.read(65536):
            question = bytes(asked)
            asked.clear()
            if self.swallowing and self.chooses(question, data):
                self.swallowing -= 1
                self.swallowed += 1
                back.close()
                break
            writer.write(data)
        writer.close()
