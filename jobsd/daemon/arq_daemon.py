"""A daemon for an arq WorkerSettings class, which runs as it is."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

from jobsd.addresses import masked
from jobsd.daemon.main import Addresses, host
from jobsd.daemon.tasks import see_this_folder
from jobsd.engine.arq.schedules import take_schedules
from jobsd.engine.arq.settings import arguments_of, names_redis, worker_of
from jobsd.events import Event
from jobsd.logger import log
from jobsd.redaction import Policies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobsd.daemon.role import Role
    from jobsd.daemon.settings import Settings
    from jobsd.engine.arq_worker import Worker


async def serve_arq(
    path: str,
    settings: Settings,
    *,
    burst: bool,
    find_redis: Callable[[], Awaitable[str | None]],
    database_url: str | None,
    role: Role,
) -> None:
    """Run the class at ``path`` until SIGTERM or SIGINT, or in a burst until its queue is empty.

    ``find_redis`` is asked where Redis is if the class does not say. Raises ConfigurationError.
    """
    see_this_folder()
    arguments = arguments_of(path) | ({"burst": True} if burst else {})
    configured = None if names_redis(arguments) else await find_redis()
    worker, url = worker_of(path, arguments, redis_url=configured)

    def make(_: dict[str, Any], *, records: bool) -> _Hosted:
        worker.records, worker.backlog = records, settings.records.backlog
        worker.redact = settings.records.redact
        log.info(
            Event.DAEMON_STARTED,
            settings=path,
            redis=masked(url),
            queues={worker.queue_name: 1},
            tasks=len(worker.functions),
            concurrency=worker.max_jobs,
            records=records,
        )
        return _Hosted(worker)

    policies = Policies(None, settings.records.redact)
    # All daemons take them, though only the first has a scheduler: none is to be fired by two.
    schedules = take_schedules(worker)
    await host(settings, make, policies, Addresses(url, database_url), role, schedules)


class _Hosted:
    """An arq worker as its daemon sees it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.ready = worker.ready = asyncio.Event()
        self.left_running = 0  # arq's functions are async: what resists ends with the loop
        self.grace_s = float(worker._job_completion_wait)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        self.stop = lambda: worker.handle_sig(signal.SIGTERM)
        self.hold = worker.hold
        self.resume = worker.resume

    async def run(self) -> None:
        try:
            await self._worker.main()
        finally:
            await self._worker.close()
