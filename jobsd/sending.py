"""How a client's jobs travel: what is called while calls are under way goes together in the next.

A caller that is alone makes its call itself. For others, at most two calls are under way at a time, so that Redis
stores the jobs of one while those of the other are being made. Each caller has its own answer and its own error.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from jobsd.addresses import masked
from jobsd.errors import EnqueueError, StoreFullError, StoreRefusedError, UnknownQueueError, UnreachableError
from jobsd.store.connection import AWAY, FULL, REFUSED, connect, is_away
from jobsd.store.ids import new_id
from jobsd.store.jobs import UNKNOWN_QUEUE, Jobs, NewJob
from jobsd.store.keys import queue_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_JOBS = 1000
MOST_BYTES = 8 * 1024 * 1024
_MOST_UNDER_WAY = 2
_UNBOUNDED = 2**31
_TRIES = 3
_PAUSE_S = 0.1


class _Waiting(NamedTuple):
    job: NewJob
    answer: asyncio.Future[bool]


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
        self._under_way = 0
        self._jobs_under_way = 0
        self._carriers: set[asyncio.Task[None]] = set()
        self._idle_senders: list[_Sender] = []
        self._ended: asyncio.Event | None = None

    async def store(self, job: NewJob) -> bool:
        """Store a job; False if another has its id. Raises EnqueueError or UnreachableError."""
        if self._under_way:
            answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Waiting(job, answer))
            self._go_on()
            return await answer
        self._under_way = self._jobs_under_way = 1
        try:
            return (await self.store_together([job]))[0]
        finally:
            self._jobs_under_way -= 1
            self._done()

    async def store_together(self, jobs: Sequence[NewJob]) -> list[bool]:
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
        while self._under_way:
            await self._ended.wait()
            self._ended.clear()
        await self._redis.aclose()

    def _go_on(self) -> None:
        if self._waiting and self._under_way < _MOST_UNDER_WAY:
            self._under_way += 1
            carrier = asyncio.create_task(self._carry())
            self._carriers.add(carrier)
            carrier.add_done_callback(self._carried)

    def _carried(self, carrier: asyncio.Task[None]) -> None:
        self._carriers.discard(carrier)
        if carrier.cancelled():  # the loop ends; it may not even have begun
            self._tell(self._waiting, asyncio.CancelledError())
            self._waiting = []
        self._done()

    def _done(self) -> None:
        self._under_way -= 1
        self._go_on()
        if self._ended is not None:
            self._ended.set()

    async def _carry(self) -> None:
        """Send one batch, and give every caller in it its own answer."""
        batch = self._next_batch()
        self._jobs_under_way += len(batch)
        try:
            answers = await self._each([waiting.job for waiting in batch]) if batch else []
            for waiting, stored in zip(batch, answers, strict=True):
                if waiting.answer.done():
                    continue
                if isinstance(stored, EnqueueError):
                    waiting.answer.set_exception(stored)
                else:
                    waiting.answer.set_result(stored)
        except BaseException as error:  # every caller is told, also when the carrier is cancelled
            self._tell(batch, error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._jobs_under_way -= len(batch)

    async def _each(self, jobs: list[NewJob]) -> list[bool | EnqueueError]:
        """Store the jobs of several callers; where Redis refuses them together, each gets its own answer."""
        try:
            return list(await self.store_together(jobs))
        except StoreRefusedError:
            if len(jobs) == 1:
                raise
        answers: list[bool | EnqueueError] = []
        for job in jobs:
            try:
                answers += await self.store_together([job])
            except StoreRefusedError as error:
                answers.append(error)
        return answers

    def _next_batch(self) -> list[_Waiting]:
        """Take half of all there is, so that two calls under way are of one size, within the limits of one."""
        waiting = [one for one in self._waiting if not one.answer.done()]  # who was cancelled is not sent
        most = min(MOST_JOBS, (len(waiting) + self._jobs_under_way + 1) // 2)
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

    async def _refused(self, error: Exception) -> StoreRefusedError:
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
        # The first time at once: a connection that was idle may have been closed long ago.
        await asyncio.sleep(_PAUSE_S * (2**tried - 1))
