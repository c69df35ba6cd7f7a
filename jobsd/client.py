"""The client: enqueues jobs, and knows what became of them. Needs only redis and pydantic.

Concurrent ``enqueue`` calls of one event loop travel together; sending.py says how.
"""

from __future__ import annotations

import asyncio
import difflib
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, cast, overload

from jobsd.clock import monotonic, now_ms
from jobsd.definition import Task, TaskCall
from jobsd.errors import (
    InvalidArgumentsError,
    InvalidOptionError,
    JobFailedError,
    JobNotFoundError,
    WrongLoopError,
)
from jobsd.job import OPTION_NAMES, QUEUE_ALLOWED, JobOptions, JobRequest, JobState, is_queue_name
from jobsd.sending import MOST_BYTES, MOST_JOBS, Sending
from jobsd.store.codec import PAYLOAD_LIMIT_BYTES, decode_result, encode_payload
from jobsd.store.connection import AWAY, connect
from jobsd.store.ids import incarnation_of, new_id
from jobsd.store.jobs import NewJob
from jobsd.store.looks import Looks, noted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Iterable
    from types import TracebackType

P = ParamSpec("P")
R = TypeVar("R")

_FIRST_POLL_S = 0.005
_LONGEST_POLL_S = 0.25


class JobRef(Generic[R]):
    """What ``enqueue`` returns: the job's id, and the way to its state and result."""

    __slots__ = ("_client", "duplicate", "id", "queue")

    def __init__(self, client: Client, job_id: str, queue: str, *, duplicate: bool = False) -> None:
        self._client = client
        self.id = job_id
        self.queue = queue
        self.duplicate = duplicate
        """True when another job has this id: nothing was stored, and the reference points to that one."""

    async def status(self) -> JobState:
        """Return where the job is now. Raises UnreachableError."""
        return await self._client.state(self.queue, self.id)

    async def progress(self) -> tuple[int, int] | None:
        """Return (done, total) as the running task last told it, or None. Raises UnreachableError."""
        return await self._client.progress(self.queue, self.id)

    async def result(self, timeout: float | None = None) -> R:  # noqa: ASYNC109 - the caller's wish in seconds, like asyncio.wait_for
        """Wait until the job has ended and return what its task returned.

        Raises JobFailedError if it ended in the archive, JobNotFoundError if no trace of it is left,
        TimeoutError after ``timeout`` seconds, UnreachableError.
        """
        return await self._client.wait_for_result(self.queue, self.id, timeout)

    def __repr__(self) -> str:
        return f"<job {self.id} in {self.queue!r}{', duplicate' if self.duplicate else ''}>"


class Client:
    """Enqueues jobs into the Redis or Valkey at ``url``.

    ``payload_limit_bytes`` is the most that the JSON of one call may take. Use it as
    ``async with Client(url) as jobs: await jobs.enqueue(…)``, or ``close()`` it yourself.
    """

    def __init__(self, url: str, *, shard: str = "main", payload_limit_bytes: int = PAYLOAD_LIMIT_BYTES) -> None:
        self._url = url
        self._limit = payload_limit_bytes
        self._sending = Sending(url, shard=shard)
        self._readers = connect(url, waiting=True)  # as many callers as there are results waited for
        self._looks = Looks(self._readers, shard=shard)
        self._loop: asyncio.AbstractEventLoop | None = None

    @overload
    async def enqueue(self, task: Task[P, R] | TaskCall[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobRef[R]: ...
    @overload
    async def enqueue(self, task: JobRequest[R], /) -> JobRef[R]: ...
    @overload
    async def enqueue(self, task: str, /, *args: Any, **kwargs: Any) -> JobRef[Any]: ...
    async def enqueue(self, task: Any, /, *args: Any, **kwargs: Any) -> JobRef[Any]:
        """Store one call of ``task`` and return its reference; a worker can see the job at once.

        ``task`` is a task, a task with options (``task.opts(delay="5m")``), a job made before
        (``task.job(…)``), or a task's name; by name, options are keywords with an underscore (``_delay="5m"``).

        Raises EnqueueError (nothing was stored) or UnreachableError (it may have been).
        """
        job = self._encode(_request(task, args, kwargs))
        self._own_loop()
        stored = await self._sending.store(job)
        return JobRef(self, job.id, job.queue, duplicate=not stored)

    async def enqueue_many(self, jobs: Iterable[JobRequest[R]] | AsyncIterable[JobRequest[R]]) -> list[JobRef[R]]:
        """Store jobs (``task.job(…)``), 1,000 a round trip, and return their references in order.

        Each thousand is stored whole or not at all; an error names no job of an earlier thousand.
        """
        self._own_loop()
        references: list[JobRef[R]] = []
        under_way: asyncio.Task[list[JobRef[R]]] | None = None
        chunk: list[NewJob] = []
        size = 0
        try:
            async for request in _each(jobs):
                job = self._encode(_ready(request))
                chunk.append(job)
                size += len(job.payload)
                if len(chunk) == MOST_JOBS or size > MOST_BYTES:
                    references += await under_way if under_way else []
                    under_way = asyncio.create_task(self._store_chunk(chunk))
                    await asyncio.sleep(0)  # it is sent, and stored while the next jobs are made
                    chunk, size = [], 0
            references += await under_way if under_way else []
            under_way = None
            return references + await self._store_chunk(chunk)
        finally:
            if under_way is not None:  # what was sent before an error is stored, and its answer awaited
                await asyncio.gather(under_way, return_exceptions=True)

    def job(self, job_id: str, *, queue: str = "default") -> JobRef[Any]:
        """Return a reference to a job that was enqueued elsewhere."""
        return JobRef(self, job_id, queue)

    async def state(self, queue: str, job_id: str) -> JobState:
        return await self._reach(self._looks.state(queue, job_id, now=now_ms()))

    async def progress(self, queue: str, job_id: str) -> tuple[int, int] | None:
        found = (await self._reach(self._looks.side(queue, job_id))).get("p")
        return (found[0], found[1]) if found else None

    async def wait_for_result(self, queue: str, job_id: str, timeout_s: float | None) -> Any:
        """See JobRef.result."""
        started, pause = monotonic(), _FIRST_POLL_S
        while True:
            stored = await self._reach(self._looks.result(job_id))
            if stored is not None:
                return _open_result(job_id, stored)
            # Looked at again after the state: a job may end between the two.
            state = await self.state(queue, job_id)
            if state is JobState.UNKNOWN and await self._reach(self._looks.result(job_id)) is None:
                raise JobNotFoundError(job_id=job_id, queue=queue)
            if state is JobState.ARCHIVED:
                raise await self._failure(queue, job_id)
            left = None if timeout_s is None else timeout_s - (monotonic() - started)
            if left is not None and left <= 0:
                msg = f"job {job_id} is {state} after {timeout_s:g} s"
                raise TimeoutError(msg)
            await asyncio.sleep(pause if left is None else min(pause, left))
            pause = min(pause * 1.5, _LONGEST_POLL_S)

    async def _failure(self, queue: str, job_id: str) -> JobFailedError:
        """Tell from the archive what a job failed of whose result is not kept."""
        _, info = await self._reach(self._looks.dead(queue, job_id))
        error = noted(info).get("e") or [None, "it is archived"]
        return JobFailedError(job_id=job_id, message=str(error[1]), error_type=error[0])

    async def close(self) -> None:
        """Send what waits and close the connections."""
        await self._sending.close()
        await self._readers.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _encode(self, request: JobRequest[Any]) -> NewJob:
        options = request.options
        if not is_queue_name(request.queue):
            raise InvalidOptionError(option="queue", given=request.queue, allowed=QUEUE_ALLOWED)
        fresh = new_id()
        payload = encode_payload(
            incarnation=incarnation_of(fresh),
            task=request.task,
            args=request.args,
            kwargs=request.kwargs,
            enqueued_at=now_ms(),
            options=options.to_wire(),
            limit_bytes=self._limit,
        )
        return NewJob(request.queue, options.id or fresh, options.when(), payload)

    async def _store_chunk(self, chunk: list[NewJob]) -> list[JobRef[Any]]:
        pairs = zip(chunk, await self._sending.store_together(chunk), strict=True)
        return [JobRef(self, job.id, job.queue, duplicate=not stored) for job, stored in pairs]

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop; connections live and die with the first one that the client was used in."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise WrongLoopError
        return loop

    async def _reach(self, call: Any) -> Any:
        try:
            self._own_loop()
        except WrongLoopError:
            call.close()
            raise
        try:
            return await call
        except AWAY as error:
            raise self._sending.unreachable(error) from error


def _open_result(job_id: str, stored: bytes) -> Any:
    result = decode_result(stored)
    if result.success:
        return result.value
    raise JobFailedError(job_id=job_id, message=result.message, error_type=result.error_type)


async def _each(jobs: Any) -> AsyncGenerator[Any]:
    if hasattr(jobs, "__aiter__"):
        async for job in jobs:
            yield job
    else:
        for job in jobs:
            yield job


def _request(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> JobRequest[Any]:
    if isinstance(task, str):
        return _request_by_name(task, args, kwargs)
    if isinstance(task, Task | TaskCall):
        return cast("JobRequest[Any]", task.job(*args, **kwargs))
    request = _ready(task)
    if args or kwargs:
        raise InvalidArgumentsError(task=request.task, problem="a job has its arguments already")
    return request


def _ready(job: Any) -> JobRequest[Any]:
    if not isinstance(job, JobRequest):
        raise InvalidOptionError(option="task", given=job, allowed="a task, task.opts(…), task.job(…) or a task's name")
    return cast("JobRequest[Any]", job)


def _request_by_name(task: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> JobRequest[Any]:
    if not task:
        raise InvalidOptionError(option="task", given=task, allowed="a task's name")
    given: dict[str, Any] = {}
    for name in [name for name in kwargs if name.startswith("_")]:
        if name[1:] not in OPTION_NAMES:
            near = difflib.get_close_matches(name[1:], OPTION_NAMES, 1)
            hint = f"; did you mean _{near[0]}?" if near else ""
            allowed = ", ".join(f"_{option}" for option in OPTION_NAMES) + hint
            raise InvalidOptionError(option=name, given=kwargs[name], allowed=allowed)
        given[name[1:]] = kwargs.pop(name)
    options = JobOptions(**given)
    return JobRequest(task, args, kwargs, options.queue or "default", options)
