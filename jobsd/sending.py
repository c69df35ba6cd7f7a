"""How a client's jobs travel: what is called while calls are under way goes together in the next.

A caller that is alone makes its call itself. Of many, half travel at a time: Redis stores their jobs while the others
make theirs. One call follows the other, so jobs are stored in the order of the calls. Each caller has its own answer
and its own error.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from jobsd.addresses import masked
from jobsd.errors import EnqueueError, StoreFullError, StoreRefusedError, UnknownQueueError, UnreachableError
from jobsd.store.connection import AWAY, FULL, REFUSED, connect, is_away
from jobsd.store.ids import new_id
from jobsd.store.jobs import UNKNOWN_QUEUE, Holder, Jobs, NewJob
from jobsd.store.keys import queue_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_JOBS = 1000
MOST_BYTES = 8 * 1024 * 1024
_UNBOUNDED = 2**31
_TRIES = 3
_PAUSE_S = 0.1


Stored: TypeAlias = bool | Holder
"""False: another job has the id. A holder: nothing was stored, since that job has the key, or has taken the call in."""


class _Waiting(NamedTuple):
    job: NewJob
    answer: asyncio.Future[Stored]


class _Sender:
    """A name under which one call follows the other; the number tells a repeated call from a new one."""

    def __init__(self) -> None:
        self.name = new_id()
        self.number = 0


class Sending:
    """Belongs to one event loop, which its owner sees to."""

    def __init__(self, url: str, *, shard: str) -> None:
        self._url = url
        self._redis = connect(url, connections=_UNBOUNDED)  # a few for the callers, and one for each enqueue_many
        self.jobs = Jobs(self._redis, shard=shard)
        self._waiting: list[_Waiting] = []
        self._busy = False
        self._carrier: asyncio.Task[None] | None = None
        self._idle_senders: list[_Sender] = []
        self._ended: asyncio.Event | None = None

    async def store(self, job: NewJob) -> Stored:
        """Store a job. Raises EnqueueError or UnreachableError."""
        if self._busy:
            answer: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Waiting(job, answer))
            return await answer
        self._busy = True
        try:
            return (await self.store_together([job]))[0]
        finally:
            self._go_on()

    async def store_together(self, jobs: Sequence[NewJob]) -> list[Stored]:
        """Store up to 1,000 jobs, all or none, and once, however often the answer is lost."""
        sender = self._idle_senders.pop() if self._idle_senders else _Sender()
        sender.number += 1
        for tried in range(_TRIES):
            try:
                answers = await self.jobs.enqueue(sender.name, sender.number, jobs)
            except FULL as error:
                raise StoreFullError(cause=str(error)) from error
            except REFUSED as error:
                if not is_away(error):
                    raise await self._refused(error) from error
                await self._again(tried, error)
            except AWAY as error:
                await self._again(tried, error)
            else:
                self._idle_senders.append(sender)
                return answers
        raise AssertionError  # the last try returns or raises

    def unreachable(self, error: Exception) -> UnreachableError:
        return UnreachableError(server="Redis", url=masked(self._url), cause=str(error) or repr(error))

    async def close(self) -> None:
        """Send what waits and close the connections."""
        self._ended = asyncio.Event()
        while self._busy:
            await self._ended.wait()
            self._ended.clear()
        await self._redis.aclose()

    def _go_on(self) -> None:
        """Send what waits, or be idle."""
        self._busy = bool(self._waiting)
        if self._busy:
            self._carrier = asyncio.create_task(self._carry())
            self._carrier.add_done_callback(self._carried)
        elif self._ended is not None:
            self._ended.set()

    def _carried(self, carrier: asyncio.Task[None]) -> None:
        if carrier.cancelled():  # the loop ends; it may not even have begun
            self._tell(self._waiting, asyncio.CancelledError())
            self._waiting = []
        self._go_on()

    async def _carry(self) -> None:
        """Send batches while there are callers, and give each its own answer."""
        answered = 1  # the caller that went alone
        while batch := self._next_batch(answered):
            try:
                answers = await self._each([waiting.job for waiting in batch])
            except BaseException as error:  # every caller is told, also when the carrier is cancelled
                self._tell(batch, error)
                if not isinstance(error, Exception):
                    raise
            else:
                for waiting, stored in zip(batch, answers, strict=True):
                    if isinstance(stored, Exception):
                        self._tell([waiting], stored)
                    elif not waiting.answer.done():
                        waiting.answer.set_result(stored)
            answered = len(batch)

    async def _each(self, jobs: list[NewJob]) -> list[Stored | Exception]:
        """Store the jobs of several callers; where Redis refuses them together, each gets its own answer."""
        try:
            return list(await self.store_together(jobs))
        except (StoreRefusedError, UnknownQueueError):
            if len(jobs) == 1:
                raise
        answers: list[Stored | Exception] = []
        for job in jobs:
            try:
                answers += await self.store_together([job])
            except (EnqueueError, UnreachableError) as error:
                answers.append(error)
        return answers

    def _next_batch(self, answered: int) -> list[_Waiting]:
        """Take half of all callers, those included that were just answered, within the limits of one call."""
        waiting = [one for one in self._waiting if not one.answer.done()]  # who was cancelled is not sent
        most = min(MOST_JOBS, (len(waiting) + answered + 1) // 2)
        size = 0
        for n, (job, _) in enumerate(waiting):
            size += len(job.payload)
            if n == most or (n and size > MOST_BYTES):
                batch, self._waiting = waiting[:n], waiting[n:]
                return batch
        self._waiting = []
        return waiting

    def _tell(self, callers: list[_Waiting], error: BaseException) -> None:
        if not isinstance(error, Exception):
            error = self.unreachable(ConnectionError("the client was stopped while the call was under way"))
        for waiting in callers:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)

    async def _refused(self, error: Exception) -> EnqueueError:
        word, _, base = str(error).partition(" ")
        if word != UNKNOWN_QUEUE:
            return StoreRefusedError(cause=str(error))
        try:
            known = await self.jobs.looks.queues()
        except AWAY:
            known = []
        return UnknownQueueError(queue=queue_of(base), known=known)

    async def _again(self, tried: int, error: Exception) -> None:
        if tried == _TRIES - 1:
            raise self.unreachable(error) from error
        if tried:  # the first time at once: a connection that was idle may have been closed long ago
            await asyncio.sleep(random.uniform(0, _PAUSE_S * 2**tried))
