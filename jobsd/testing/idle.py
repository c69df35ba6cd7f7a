"""A worker that runs what is due and then stands still, in the loop of the test.

It works between two lines of a test and at no other time. So nothing happens beside the test, and the clock may be
moved while no job runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

from jobsd.ambient import close_default_client
from jobsd.client import Client
from jobsd.definition import registry
from jobsd.duration import duration_ms, parse_duration
from jobsd.engine.options import QueueOptions, ResourceOptions, WorkerOptions
from jobsd.engine.worker import Worker
from jobsd.store.connection import connect
from jobsd.store.jobs import Jobs
from jobsd.testing.ran import JobRun, Ran, run_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping
    from datetime import timedelta

    from jobsd.definition import Task
    from jobsd.engine.attempt import Attempt
    from jobsd.hooks import Dependency
    from jobsd.outcome import Outcome, Transition

_LOOK_EVERY_S = 0.002
_ADDRESS = "JOBSD_REDIS_URL"


class IdleWorker:
    """What ``worker`` opens."""

    def __init__(
        self,
        url: str,
        client: Client,
        jobs: Jobs,
        make: Any,
        queues: Mapping[str, QueueOptions],
        options: WorkerOptions,
    ) -> None:
        self.url = url
        """The address of its Redis."""
        self.client = client
        """A client of the same Redis; a bare ``enqueue`` leads there, too."""
        self._jobs = jobs
        self._make = make
        self._queues = queues
        self._options = options
        self.runs: list[JobRun] = []
        """All runs so far, in the order in which they ended."""

    async def run_until_idle(self, timeout: str | timedelta = "10s") -> Ran:  # noqa: ASYNC109 - a duration, as everywhere
        """Run what is due, and what that leads to; return what was run when nothing is due any more.

        Jobs that are due later are left alone. At the end what is over its retention is forgotten. Raises TimeoutError
        after ``timeout``; what runs then is cancelled, and waits again.
        """
        served = {name: QueueOptions() for name in await self._jobs.looks.queues()} | dict(self._queues)
        before = len(self.runs)
        worker: _Burst = self._make(served, self.runs)
        running = asyncio.create_task(worker.run(burst=True))
        try:
            ended, _ = await asyncio.wait({running}, timeout=parse_duration(timeout).total_seconds())
            names = sorted(attempt.payload.task for attempt in worker.attempts.values() if attempt.payload)
        finally:
            if not running.done():
                worker.stop()
                worker.stop()
                await asyncio.wait({running})
        if not ended:
            raise TimeoutError(f"the worker is not idle after {timeout}; {_running(names)}")
        await running
        await self._forget(served)
        return Ran(self.runs[before:])

    async def _forget(self, queues: Iterable[str]) -> None:
        keep_ms, count = duration_ms(self._options.keep_archived), self._options.keep_archived_count
        for queue in queues:
            while await self._jobs.trim(queue, keep_archived_ms=keep_ms, keep_archived_count=count):
                pass


@contextlib.asynccontextmanager
async def worker(
    url: str | None = None,
    *,
    tasks: Iterable[Task[..., Any]] | None = None,
    queues: Mapping[str, Mapping[str, Any]] | None = None,
    resources: Mapping[str, Mapping[str, Any]] | None = None,
    shared: Mapping[str, Any] | None = None,
    dependencies: Mapping[Dependency[Any], Any] | None = None,
    timezone: str = "UTC",
    **options: Any,
) -> AsyncGenerator[IdleWorker]:
    """A worker for the Redis or Valkey at ``url``, to be run with ``run_until_idle``. It serves every queue.

    Without a ``url`` it is an empty Valkey of the tests' own, which needs the extra ``embedded`` and ends with the
    process. Until the end a bare ``enqueue`` leads there.

    ``tasks`` are those it knows (all that are defined in this process), ``queues`` and ``resources`` their limits, and
    ``options`` those of a worker, all as in jobsd.toml: ``queues={"mails": {"rate": "5/10s"}}, retries=0``. ``shared``
    is what contexts begin with (``ctx["db"]``), ``dependencies`` are values that stand in for dependencies. Tasks with
    ``executor="process"`` run in this process.

    Raises pydantic's ValidationError for options that are none, NotConfiguredError where ``embedded`` is missing.
    """
    from jobsd.hooks import overridden  # noqa: PLC0415

    worker_options = WorkerOptions(**options)
    limits = {name: QueueOptions(**one) for name, one in (queues or {}).items()}
    of_resources = {name: ResourceOptions(**one) for name, one in (resources or {}).items()}
    known = {task.name: task for task in (registry.values() if tasks is None else tasks)}
    served = {"default": QueueOptions()} | {task.queue: QueueOptions() for task in known.values()} | limits
    async with contextlib.AsyncExitStack() as stack:
        if url is None:
            from jobsd.testing.valkey import empty_valkey  # noqa: PLC0415 - the extra may be missing

            url = await asyncio.to_thread(empty_valkey)
        address = url
        for dependency, value in (dependencies or {}).items():
            stack.enter_context(overridden(dependency, value))
        await stack.enter_async_context(_address_known(address))
        client = await stack.enter_async_context(Client(address))
        redis = connect(address, connections=2)
        stack.push_async_callback(redis.aclose)

        def make(served: Mapping[str, QueueOptions], runs: list[JobRun]) -> _Burst:
            return _Burst(
                address,
                known,
                served,
                worker_options,
                shared={"client": client} | dict(shared or {}),
                resources=of_resources,
                timezone=timezone,
                runs=runs,
            )

        yield IdleWorker(address, client, Jobs(redis), make, served, worker_options)


class _Burst(Worker):
    """Ends when nothing is due, and notes what it has run."""

    def __init__(self, *args: Any, runs: list[JobRun], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._runs = runs
        said = self._report

        def noted(attempt: Attempt, outcome: Outcome, transition: Transition) -> None:
            said(attempt, outcome, transition)
            run = run_of(attempt, outcome, transition)
            if run is not None:
                runs.append(run)

        self._report = noted

    async def _stop_when_empty(self) -> None:
        while not self.dispatcher.idle or self._held:
            await asyncio.sleep(_LOOK_EVERY_S)
            if not self._held:
                self.look()  # else it would wait for the next poll
        self.stop()


@contextlib.asynccontextmanager
async def _address_known(url: str) -> AsyncGenerator[None]:
    """Let a bare ``enqueue`` find the address, in this loop and in others."""
    before = os.environ.get(_ADDRESS)
    await close_default_client()
    os.environ[_ADDRESS] = url
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_ADDRESS, None)
        else:
            os.environ[_ADDRESS] = before
        await close_default_client()


def _running(names: list[str]) -> str:
    return f"still running: {', '.join(names)}" if names else "jobs come as fast as they are run"
