"""A worker in the test's own loop, so that its tasks and the test share events."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from jobsd import Client
from jobsd.definition import Task
from jobsd.duration import duration_ms
from jobsd.engine.leases import Heartbeat
from jobsd.engine.options import QueueOptions, ResourceOptions, WorkerOptions
from jobsd.engine.worker import Worker
from jobsd.execution import Execution
from jobsd.redaction import DEFAULT_FIELDS
from jobsd.store.keys import records_key
from tests.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping, Sequence

    from redis.asyncio import Redis

    from jobsd import JobRef
    from jobsd.engine.children.process import ChildSetup

BASE = "jobsd:{main}:default"
_QUICK = {"concurrency": 10, "grace": "5s", "cancel_grace": "50ms"}


class Hall:
    """Workers of one test, and a client for their queue."""

    def __init__(self, url: str, redis: Redis) -> None:
        self.url = url
        self.redis = redis
        self.client = Client(url)
        self._running: dict[Worker, asyncio.Task[None]] = {}

    def make(
        self,
        *tasks: Callable[..., Any] | Task[..., Any],
        queues: Mapping[str, int | dict[str, Any]] | None = None,
        resources: Mapping[str, dict[str, Any]] | None = None,
        timezone: str = "UTC",
        records: bool = False,
        backlog: str = "25%",
        redact: Sequence[str] = DEFAULT_FIELDS,
        child: ChildSetup | None = None,
        db: Any = None,
        **options: Any,
    ) -> Worker:
        """Return a worker that is not started; a function is a task of its name.

        ``queues`` are weights, or a queue's options as a settings file has them; ``db`` is the tasks' pool.
        """
        known = [found if isinstance(found, Task) else Task(found, found.__name__) for found in tasks]
        return Worker(
            self.url,
            {found.name: found for found in known},
            {name: _queue(given) for name, given in (queues or {"default": 1}).items()},
            WorkerOptions(**(_QUICK | options)),
            records=records,
            backlog=backlog,
            redact=redact,
            shared={"client": self.client, "colour": "blue"} | ({} if db is None else {"db": db}),
            timezone=timezone,
            child=child,
            resources={name: ResourceOptions(**given) for name, given in (resources or {}).items()},
        )

    def start(self, worker: Worker, *, burst: bool = False) -> asyncio.Task[None]:
        running = self._running[worker] = asyncio.create_task(worker.run(burst=burst))
        return running

    def open(self, *tasks: Callable[..., Any] | Task[..., Any], **options: Any) -> Worker:
        """Make a worker and start it."""
        worker = self.make(*tasks, **options)
        self.start(worker)
        return worker

    async def stop(self, worker: Worker) -> None:
        """Let the worker drain, and wait for its end."""
        worker.stop()
        async with asyncio.timeout(PATIENCE_S):
            await self._running[worker]

    async def close(self) -> None:
        for worker, running in self._running.items():
            worker.stop()
            worker.stop()
            running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        if self._running:
            await asyncio.wait(self._running.values(), timeout=PATIENCE_S)
        await self.client.close()

    async def result(self, reference: JobRef[Any]) -> Any:
        return await reference.result(PATIENCE_S)

    async def executions(self, count: int) -> list[Execution]:
        """Return the first ``count`` records of the stream, once they are there."""
        found: list[Execution] = []

        async def all_there() -> bool:
            entries = await self.redis.xrange(records_key())
            found[:] = [read_execution(value) for _, fields in entries for value in fields.values()]
            return len(found) >= count

        await until(all_there)
        return found


def _queue(given: int | dict[str, Any]) -> QueueOptions:
    return QueueOptions(weight=given) if isinstance(given, int) else QueueOptions(**given)


def read_execution(value: bytes) -> Execution:
    return Execution(*json.loads(value))


async def are_listening(hall: Hall, count: int) -> bool:
    """Say whether so many workers wait for a wake-up."""
    clients = await hall.redis.client_list()
    return sum(client["cmd"] == "blpop" and "b" in client["flags"] for client in clients) == count


def expire(worker: Worker) -> None:
    """Let the time of what runs be over now."""
    for attempt in worker.attempts.values():
        worker._runner._expire(attempt)


async def side_of(hall: Hall, job_id: str) -> dict[str, Any]:
    return json.loads(await hall.redis.hget(f"{BASE}:side", job_id))


def said(caplog: Any, event: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == event]


def a_task(function: Callable[..., Any], *, name: str | None = None, **options: Any) -> Task[..., Any]:
    """Return ``function`` as a task with options, without the registry of the process."""
    if "timeout" in options:
        options["timeout_ms"] = duration_ms(options.pop("timeout"))
    return Task(function, name or function.__name__, **options)


def count_looks(monkeypatch: Any) -> list[object]:
    """Return a list that grows with each look for stuck functions."""
    look, looks = Heartbeat._look, []

    def counted(heartbeat: Heartbeat) -> None:
        look(heartbeat)
        looks.append(heartbeat)

    monkeypatch.setattr(Heartbeat, "_look", counted)
    return looks
