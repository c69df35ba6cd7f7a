"""The client: enqueues jobs, and knows what became of them. Needs only redis and pydantic.

Concurrent ``enqueue`` calls of one event loop travel together; sending.py says how.
"""

from __future__ import annotations

import asyncio
import difflib
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, cast

from jobsd.clock import now_ms
from jobsd.convoy import Convoy, in_convoys
from jobsd.definition import Task, TaskCall
from jobsd.enqueueable import R_co
from jobsd.errors import InvalidArgumentsError, InvalidOptionError, WrongLoopError
from jobsd.following import Following, Timeout
from jobsd.headers import collect
from jobsd.hooks import enqueue_hooks, enqueue_through
from jobsd.job import CONN_ALLOWED, NO_OPTIONS, OPTION_NAMES, QUEUE_ALLOWED, JobOptions, JobRequest, is_queue_name
from jobsd.limits_text import Limits, limits_of
from jobsd.records.callers import check_connection, put
from jobsd.sending import MOST_BYTES, MOST_JOBS, Sending
from jobsd.store.codec import PAYLOAD_LIMIT_BYTES, encode_payload, unserializable
from jobsd.store.ids import incarnation_of, new_id, outbox_incarnation_of
from jobsd.store.jobs import NewJob
from jobsd.store.outbox import as_rows, incarnation_in

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
    from types import TracebackType

    from jobsd.enqueueable import Enqueueable, P, R, TaskName
    from jobsd.job import CancelState, JobState
    from jobsd.sending import Stored


class JobRef(Generic[R_co]):
    """What ``enqueue`` returns: the job's id, and the way to its state and result."""

    __slots__ = ("_client", "_incarnation", "duplicate", "id", "queue")

    def __init__(
        self, client: Client, job_id: str, queue: str, *, duplicate: bool = False, incarnation: str | None = None
    ) -> None:
        self._client = client
        self._incarnation = incarnation  # of a job of the outbox; '' where it is another's
        self.id = job_id
        self.queue = queue
        self.duplicate = duplicate
        """True when nothing was stored since another job has the call's id or key: the reference points to that one.

        A waiting job that took the call in (``debounce``, ``aggregate``) is no duplicate, though its id is older.
        """

    async def status(self) -> JobState:
        """Return where the job is now. Raises UnreachableError."""
        return await self._client.following().state(self.queue, self.id)

    async def progress(self) -> tuple[int, int] | None:
        """Return (done, total) as the running task last told it, or None. Raises UnreachableError."""
        return await self._client.following().progress(self.queue, self.id)

    async def result(self, timeout: Timeout = None) -> R_co:  # noqa: ASYNC109 - the caller's wish in seconds, like asyncio.wait_for
        """Wait until the job has ended and return what its task returned.

        Raises JobFailedError if it ended in the archive (JobCancelledError if somebody cancelled it),
        JobNotFoundError if no trace of it is left, TimeoutError after ``timeout`` (seconds, or "5s"), UnreachableError.
        A job that was enqueued in a transaction may take 10 s to come: JobNotFoundError then means that it did not.
        """
        return await self._client.following().result(self.queue, self.id, timeout, self._incarnation)

    async def cancel(self, timeout: Timeout = 10.0) -> CancelState:  # noqa: ASYNC109 - as in result
        """Let the job run no more, and return what came of it.

        One that waits is archived at once. The function of one that runs is cancelled, wherever it runs, and never
        retried; this waits ``timeout`` seconds for its end. After that the request stands, and may be made again to
        hear of it. Raises JobNotFoundError, UnreachableError (it may have been requested).
        """
        return await self._client.following().cancel(self.queue, self.id, timeout, self._incarnation)

    def __repr__(self) -> str:
        return f"<job {self.id} in {self.queue!r}{', duplicate' if self.duplicate else ''}>"


class Captor(Protocol):
    """Takes jobs in the place of Redis, where a test captures them (jobsd.testing)."""

    def captures(self) -> bool: ...
    def made(self, request: JobRequest[Any], job: NewJob) -> None: ...
    def take(self, jobs: Sequence[NewJob]) -> list[JobRef[Any]] | None: ...


captor: Captor | None = None


class Client:
    """Enqueues jobs into the Redis or Valkey at ``url``.

    ``payload_limit_bytes`` is the most that the JSON of one call may take. Use it as
    ``async with Client(url) as jobs: await jobs.enqueue(…)``, or ``close()`` it yourself.
    """

    def __init__(self, url: str, *, shard: str = "main", payload_limit_bytes: int = PAYLOAD_LIMIT_BYTES) -> None:
        self._limit = payload_limit_bytes
        self._sending = Sending(url, shard=shard)
        self._following = Following(url, shard=shard)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def enqueue(self, task: Enqueueable[P, R] | TaskName[P], /, *args: P.args, **kwargs: P.kwargs) -> JobRef[R]:
        """Store one call of ``task`` and return its reference; a worker can see the job at once.

        ``task`` is a task, a task with options (``task.opts(delay="5m")``), a job made before
        (``task.job(…)``), or a task's name; by name, options are keywords with an underscore (``_delay="5m"``).

        Raises EnqueueError (nothing was stored), UnreachableError (it may have been), or what a hook raises.
        """
        if enqueue_hooks:
            return await enqueue_through(_request(task, args, kwargs), self._store)
        return await self._store(_request(task, args, kwargs))

    async def enqueue_many(self, jobs: Iterable[JobRequest[R]] | AsyncIterable[JobRequest[R]]) -> list[JobRef[R]]:
        """Store jobs (``task.job(…)``), 1,000 a round trip, and return their references in order.

        Each thousand is stored whole or not at all; an error names no job of an earlier thousand.
        """
        self._own_loop()
        if enqueue_hooks:
            return await in_convoys(_each(jobs), self._convoy)
        references: list[JobRef[R]] = []
        under_way: asyncio.Task[list[JobRef[R]]] | None = None
        chunk: list[NewJob] = []
        size = 0
        try:
            async for request in _each(jobs):
                job = self._encode(request)
                chunk.append(job)
                size += len(job.payload)
                if len(chunk) == MOST_JOBS or size > MOST_BYTES:
                    references += await under_way if under_way else []
                    under_way = asyncio.create_task(self._store_chunk(chunk))
                    # It is sent, and stored while the next jobs are made; a connection does one thing at a time.
                    await (asyncio.sleep(0) if job.conn is None else asyncio.wait([under_way]))
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

    def following(self) -> Following:
        """Return what answers questions about jobs. Raises WrongLoopError."""
        self._own_loop()
        return self._following

    async def close(self) -> None:
        """Send what waits and close the connections."""
        await self._sending.close()
        await self._following.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _store(self, request: JobRequest[Any]) -> JobRef[Any]:
        job = self._encode(request)
        if captor is not None and (taken := captor.take([job])) is not None:
            return taken[0]
        if job.conn is not None:
            return (await self._put_in_outbox([job]))[0]
        self._own_loop()
        return self._reference(job, await self._sending.store(job))

    def _convoy(self) -> Convoy[NewJob]:
        return Convoy(self._encode, self._store_chunk, most=MOST_JOBS, most_bytes=MOST_BYTES)

    def _encode(self, request: JobRequest[Any]) -> NewJob:
        options = request.options
        if not is_queue_name(request.queue):
            raise InvalidOptionError(option="queue", given=request.queue, allowed=QUEUE_ALLOWED)
        fresh = new_id()
        incarnation = incarnation_of(fresh)
        if options.conn is not None:
            check_connection(options.conn)
            incarnation = outbox_incarnation_of(fresh)
        when = options.when()
        limits, joins = "", False
        if options.limited:
            limits, rule = self._limits(request)
            when = f"{when} {rule}"
            joins = options.aggregate is not None
        payload = encode_payload(
            incarnation=incarnation,
            task=request.task,
            args=request.args,
            kwargs=request.kwargs,
            enqueued_at=now_ms(),
            options=options.to_wire(),
            limits=limits,
            headers=collect(request.headers, task=request.task),
            args_last=joins,
            limit_bytes=self._limit,
        )
        job = NewJob(request.queue, options.id or fresh, when, payload, options.conn)
        if captor is not None:
            captor.made(request, job)
        return job

    def _limits(self, request: JobRequest[Any]) -> Limits:
        try:
            return limits_of(request, payload_limit_bytes=self._limit)
        except (ValueError, RecursionError) as error:
            raise unserializable(request.task, request.args, request.kwargs, error) from None

    def _reference(self, job: NewJob, stored: Stored) -> JobRef[Any]:
        if isinstance(stored, bool):
            return JobRef(self, job.id, job.queue, duplicate=not stored)
        return JobRef(self, stored.id, stored.queue, duplicate=not stored.joined)

    async def _store_chunk(self, chunk: list[NewJob]) -> list[JobRef[Any]]:
        if captor is not None and (taken := captor.take(chunk)) is not None:
            return taken
        if any(job.conn is not None for job in chunk):
            return await self._put_in_outbox(chunk)
        pairs = zip(chunk, await self._sending.store_together(chunk), strict=True)
        return [self._reference(job, stored) for job, stored in pairs]

    async def _put_in_outbox(self, jobs: list[NewJob]) -> list[JobRef[Any]]:
        """Store jobs in the transaction of their connection, all or none."""
        conn = jobs[0].conn
        if any(job.conn is not conn for job in jobs):
            allowed = "the same connection for all jobs of one enqueue_many, or none for all"
            raise InvalidOptionError(option="conn", given=type(conn).__name__, allowed=allowed)
        told = await put(conn, as_rows(jobs))
        stored = {text for text in told if " " not in text}
        holders = dict(text.split(" ") for text in told if " " in text)
        references: list[JobRef[Any]] = []
        for job in jobs:
            duplicate = job.id not in stored
            stored.discard(job.id)  # of two with the same id the first was
            incarnation = holders.get(job.id, "") if duplicate else incarnation_in(job)
            references.append(JobRef(self, job.id, job.queue, duplicate=duplicate, incarnation=incarnation))
        return references

    def _own_loop(self) -> None:
        """See that the client is used in one loop: its connections live and die with the first."""
        if captor is not None and captor.captures():
            return  # it has no connections then
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise WrongLoopError


async def _each(jobs: Any) -> AsyncGenerator[JobRequest[Any]]:
    if hasattr(jobs, "__aiter__"):
        async for job in jobs:
            yield _ready(job)
    else:
        for job in jobs:
            yield _ready(job)


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
    if given.get("conn", ...) is None:
        raise InvalidOptionError(option="_conn", given=None, allowed=CONN_ALLOWED)
    if not isinstance(kwargs.get("conn"), str | int | float | list | dict | None):
        given_type, allowed = (
            type(kwargs["conn"]).__name__,
            "an argument of the task; the connection of a call by name is _conn",
        )
        raise InvalidOptionError(option="conn", given=given_type, allowed=allowed)
    options = JobOptions(**given) if given else NO_OPTIONS
    return JobRequest(task, args, kwargs, options.queue or "default", options)
