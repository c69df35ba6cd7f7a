"""Does a server answer on its socket? By the first words of its protocol, so no client is needed to ask.

Never raises for a server that is absent, starting or stopping: that is an answer too.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

from jobsd.embedded.places import POSTGRES_DATABASE, POSTGRES_USER

if TYPE_CHECKING:
    from pathlib import Path

_ANSWER_WITHIN_S = 2.0
_LONGEST_ANSWER = 65_536

_PROTOCOL_3 = 196_608
_TERMINATE = b"X\x00\x00\x00\x04"
_READY_FOR_QUERY = b"Z\x00\x00\x00\x05I"


async def valkey_answers(path: Path, *, within_s: float = _ANSWER_WITHIN_S) -> bool:
    """Whether Valkey takes commands. ``-LOADING`` is a no; ``-NOAUTH`` is a yes of a server with a password."""
    answer = await _ask(path, b"PING\r\n", ends=(b"\r\n",), within_s=within_s)
    return answer.startswith((b"+PONG", b"-NOAUTH"))


async def postgres_answers(path: Path, *, within_s: float = _ANSWER_WITHIN_S) -> bool:
    """Whether Postgres lets ``jobsd`` into its database. While it starts or recovers it sends an error instead."""
    parameters = f"user\0{POSTGRES_USER}\0database\0{POSTGRES_DATABASE}\0\0".encode()
    hello = struct.pack("!II", 8 + len(parameters), _PROTOCOL_3) + parameters
    answer = await _ask(path, hello, ends=(_READY_FOR_QUERY,), goodbye=_TERMINATE, within_s=within_s)
    return answer.endswith(_READY_FOR_QUERY)


async def _ask(path: Path, hello: bytes, *, ends: tuple[bytes, ...], goodbye: bytes = b"", within_s: float) -> bytes:
    """Return what is answered up to one of ``ends``, or to the end of the connection; nothing if it fails."""
    loop = asyncio.get_running_loop()
    answer = b""
    try:
        async with asyncio.timeout(within_s):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.setblocking(False)
                await loop.sock_connect(connection, str(path))
                await loop.sock_sendall(connection, hello)
                while not answer.endswith(ends) and len(answer) < _LONGEST_ANSWER:
                    more = await loop.sock_recv(connection, 4096)
                    if not more:
                        break
                    answer += more
                await loop.sock_sendall(connection, goodbye)
    except (OSError, TimeoutError):
        return b""
    return answer
