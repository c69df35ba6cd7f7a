"""Many requests through the hooks, each by itself, and then stored together.

A request's hooks run up to where they call for the store, and wait there for the others of its convoy. When each has
come there or ended, what came is stored in one call, and the hooks go on with their answers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from jobsd.errors import HookError
from jobsd.hooks import enqueue_through

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable

    from jobsd.client import JobRef
    from jobsd.job import JobRequest


class Encoded(Protocol):
    @property
    def payload(self) -> bytes: ...


J = TypeVar("J", bound=Encoded)


async def in_convoys(requests: AsyncIterable[JobRequest[Any]], make: Callable[[], Convoy[Any]]) -> list[JobRef[Any]]:
    """Store the requests, one convoy after the other, and return their references in order."""
    references: list[JobRef[Any]] = []
    under_way: asyncio.Task[list[JobRef[Any]]] | None = None
    convoy = make()
    try:
        async for request in requests:
            convoy.add(request)
            await asyncio.sleep(0)  # its hooks begin: where they come to the store at once, its size is known
            if convoy.full:
                references += await under_way if under_way else []
                under_way = asyncio.create_task(convoy.send())
                convoy = make()
        references += await under_way if under_way else []
        under_way = None
        return references + await convoy.send()
    finally:
        await convoy.cancel()
        if under_way is not None:  # what was sent before an error is stored, and its answer awaited
            await asyncio.gather(under_way, return_exceptions=True)


class Convoy(Generic[J]):
    """``encode`` makes of a request what is stored, ``store`` stores it all or raises.

    An error of the hooks before that cancels those of the others, and nothing is stored. An error after it is raised
    when all have ended.
    """

    def __init__(
        self,
        encode: Callable[[JobRequest[Any]], J],
        store: Callable[[list[J]], Awaitable[list[JobRef[Any]]]],
        *,
        most: int,
        most_bytes: int,
    ) -> None:
        self._encode = encode
        self._store = store
        self._most = most
        self._most_bytes = most_bytes
        self._size = 0
        self._tasks: list[asyncio.Task[JobRef[Any]]] = []
        self._waiting: dict[int, tuple[J, asyncio.Future[JobRef[Any]]]] = {}
        self._on_their_way: set[int] = set()
        self._error: BaseException | None = None
        self._looked_for = asyncio.Event()

    @property
    def full(self) -> bool:
        return len(self._tasks) == self._most or self._size > self._most_bytes

    def add(self, request: JobRequest[Any]) -> None:
        """Let the request's hooks begin, in a task of their own."""
        number = len(self._tasks)
        self._on_their_way.add(number)
        task = asyncio.create_task(self._through_hooks(number, request))
        task.add_done_callback(lambda ended: self._ended(number, ended))
        self._tasks.append(task)

    async def send(self) -> list[JobRef[Any]]:
        """Store what comes through, and return the references that the hooks return, in the order of the requests."""
        try:
            while self._on_their_way and self._error is None:
                self._looked_for.clear()
                await self._looked_for.wait()
            if self._error is not None:
                raise self._error
            await self._store_waiting()
            ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            await self.cancel()
        references: list[JobRef[Any]] = []
        for reference in ended:
            if isinstance(reference, BaseException):
                raise reference
            references.append(reference)
        return references

    async def cancel(self) -> None:
        """Cancel the hooks that have not ended, and wait for their end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _through_hooks(self, number: int, request: JobRequest[Any]) -> JobRef[Any]:
        async def wait_for_store(passed: JobRequest[Any]) -> JobRef[Any]:
            job = self._encode(passed)
            answer: asyncio.Future[JobRef[Any]] = asyncio.get_running_loop().create_future()
            self._waiting[number] = job, answer
            self._size += len(job.payload)
            self._arrived(number)
            try:
                return await answer
            finally:
                self._waiting.pop(number, None)  # given up by its hook, it is not stored

        return await enqueue_through(request, wait_for_store)

    def _arrived(self, number: int) -> None:
        self._on_their_way.discard(number)
        self._looked_for.set()

    def _ended(self, number: int, task: asyncio.Task[JobRef[Any]]) -> None:
        if task.cancelled():
            problem = "it was cancelled, and nothing of what came with it is stored"
            self._error = self._error or HookError(hook="around enqueue", problem=problem)
        elif (error := task.exception()) is not None:
            self._error = self._error or error
        self._arrived(number)

    async def _store_waiting(self) -> None:
        waiting = [self._waiting[number] for number in sorted(self._waiting)]
        if not waiting:
            return
        try:
            references = await self._store([job for job, _ in waiting])
        except Exception as error:  # noqa: BLE001 - each hook sees it, and may know what to do
            for _, answer in waiting:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for (_, answer), reference in zip(waiting, references, strict=True):
                if not answer.done():
                    answer.set_result(reference)
