"""How an idle worker sleeps: until a wake-up, the next due time, or the poll that is the net under both."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from jobsd.events import Event
from jobsd.logger import log
from jobsd.service import backoff_s
from jobsd.store.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BLOCK_S = 5
_NETWORK_S = 5


class Waker:
    """Listens on the wake lists of the worker's queues, with a connection of its own.

    At most one token is under way to this worker; ``heard`` is called when it comes. One for which the
    worker has no use (no free slot, or it is stopping) must be handed on: ``take`` tells.
    """

    def __init__(self, url: str, bases: Sequence[str], own_key: str, heard: Callable[[], None]) -> None:
        self._redis: Any = connect(url, call_timeout_s=_BLOCK_S + _NETWORK_S, connections=2)
        self._own_key = own_key.encode()
        self._bases = list(bases)
        self._left_out: frozenset[str] = frozenset()
        self._deaf_to: frozenset[str] = frozenset()  # what the call under way leaves out
        self._ended = False
        self._listening: asyncio.Task[str | None] | None = None
        self._signal = asyncio.Event()
        self._base: str | None = None
        self._waiting = False
        self._failures = 0
        self._tell = heard

    async def wait(self, seconds: float) -> None:
        """Return after a wake-up, a ``poke``, or ``seconds``."""
        self._listen_on()
        timer = asyncio.get_running_loop().call_later(seconds, self._signal.set)
        self._waiting = True
        try:
            await self._signal.wait()
        finally:
            self._waiting = False
            timer.cancel()
            self._signal.clear()

    def poke(self) -> None:
        """End a ``wait`` now."""
        self._signal.set()

    @property
    def token(self) -> str | None:
        """The base key of the queue whose token came and was not taken yet."""
        return self._base

    def take(self) -> str | None:
        """Return the base key of the queue whose token came, once."""
        base, self._base = self._base, None
        return base

    async def leave_out(self, bases: frozenset[str]) -> None:
        """Listen on the lists of these queues no more, and on all others.

        Of a queue from which this worker may take nothing now, tokens are for others: it would take one for
        nothing, and that puts the next there.
        """
        self._left_out = bases
        if self._listening is not None and not self._deaf_to <= bases:
            self._deaf_to = bases  # once
            await self._interrupt()

    @property
    def leaves_out(self) -> bool:
        """Whether there are queues on whose lists it does not listen."""
        return bool(self._left_out)

    async def end(self) -> None:
        """Listen no more. A token that comes until then is not lost: ``take`` tells.

        A call that is merely dropped may still be the first in line when the next token comes.
        """
        self._ended = True
        listening = self._listening
        if listening is None:
            return
        try:
            await self._interrupt()
            await asyncio.wait({listening})
        finally:
            await self._redis.delete(self._own_key)

    async def close(self) -> None:
        self._ended = True
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        await self._redis.aclose()

    async def _interrupt(self) -> None:
        """Let the call under way return."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.lpush(self._own_key, "1")
        pipe.expire(self._own_key, _BLOCK_S)
        await pipe.execute()

    def _listen_on(self) -> None:
        if self._base is None and self._listening is None and not self._ended:
            self._deaf_to = self._left_out
            self._listening = asyncio.create_task(self._listen())
            self._listening.add_done_callback(self._heard)

    async def _listen(self) -> str | None:
        keys = [f"{base}:wake" for base in self._bases if base not in self._deaf_to]
        answer = await self._redis.blpop([*keys, self._own_key], timeout=_BLOCK_S)
        return None if answer is None or answer[0] == self._own_key else answer[0].decode().removesuffix(":wake")

    def _heard(self, listening: asyncio.Task[str | None]) -> None:
        self._listening = None
        if listening.cancelled():
            return
        error = listening.exception()
        if error is not None:  # the claims notice too, and back off; the poll goes on meanwhile
            log.debug(Event.REDIS_UNREACHABLE, cause=repr(error))
            self._failures += 1
            asyncio.get_running_loop().call_later(backoff_s(self._failures), self._listen_again)
            return
        self._failures = 0
        self._base = listening.result()
        if self._base is not None:
            self._signal.set()
            self._tell()
        else:  # nothing came in the time that one call may block
            self._listen_again()

    def _listen_again(self) -> None:
        if self._waiting:
            self._listen_on()
