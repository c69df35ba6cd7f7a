"""A proxy before Redis that answers commands in its stead, with an error: the server never sees them."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from importlib.resources import files
from typing import TYPE_CHECKING

from jobsd.store.scripts import source
from tests.client.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"
_ALSO_WHILE_LOADING = {"auth", "client", "hello", "select"}
_SCRIPTS = [file.name.removesuffix(".lua") for file in (files("jobsd.store") / "lua").iterdir() if file.is_file()]


def _sha(text: bytes) -> str:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


_NAMES = {_sha(source(name).encode()): name for name in _SCRIPTS}


def everything(command: str) -> bool:
    """Choose what a server refuses that reads its data: all but the handshake."""
    return command not in _ALSO_WHILE_LOADING


class RefusingProxy(Proxy):
    """While ``refuses`` says so of a command, ``refusal`` is the answer. A script is called by its name."""

    def __init__(self, redis_url: str, path: Path) -> None:
        super().__init__(redis_url, path)
        self.refuses: Callable[[str], bool] = lambda _: False
        self.refusal = LOADING
        self.refused: Counter[str] = Counter()
        self.refused_at: list[tuple[str, float]] = []
        """Each refused command and the loop's time, in order."""
        self.passed: list[str] = []
        """What the server was asked, in order."""

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._target)
        self._open |= {writer, back}
        for pump in (self._ask(reader, writer, back), self._down(there, writer, back, bytearray())):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        try:
            while True:
                raw, words = await _read(reader)
                name = _name(words)
                if self.refuses(name):
                    self.refused[name] += 1
                    self.refused_at.append((name, asyncio.get_running_loop().time()))
                    writer.write(self.refusal)
                else:
                    self.passed.append(name)
                    back.write(raw)
        except (asyncio.IncompleteReadError, OSError):  # the caller has closed its end
            back.close()


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, list[bytes]]:
    """Return the next command, as it came and as its words."""
    raw = [await reader.readuntil(b"\r\n")]
    words = []
    for _ in range(int(raw[0][1:])):
        length = await reader.readuntil(b"\r\n")
        word = await reader.readexactly(int(length[1:]) + 2)
        raw += (length, word)
        words.append(word[:-2])
    return b"".join(raw), words


def _name(words: list[bytes]) -> str:
    command = words[0].decode().lower()
    match command:
        case "evalsha":
            return _NAMES.get(words[1].decode(), command)
        case "eval":
            return _NAMES.get(_sha(words[1]), command)
        case _:
            return command
