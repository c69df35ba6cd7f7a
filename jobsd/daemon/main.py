"""The daemon's process: the only place that assembles the parts, starts them in order and stops them in order.

start   settings, tasks, ledger's schema, Redis; then the recorder and the worker
stop    the worker takes no more jobs, runs dry or hands back; the recorder writes what is left; pools close

Of several daemons under a supervisor (role.py) only the first has a recorder, a pusher and a scheduler.
"""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from jobsd import schedules as asked_schedules
from jobsd.addresses import masked
from jobsd.client import Client
from jobsd.daemon.child import child_setup
from jobsd.daemon.logs import configure_task_logs
from jobsd.daemon.record_options import NO_VIEWS
from jobsd.daemon.role import Alone
from jobsd.daemon.scheduling import scheduling
from jobsd.daemon.signals import Signals
from jobsd.daemon.tasks import import_tasks, warn_of_unnamed
from jobsd.engine.worker import Worker
from jobsd.errors import UnreachableError
from jobsd.events import Event
from jobsd.logger import log
from jobsd.records.migrate import ensure_schema
from jobsd.records.pool import close_task_pool, open_pool, open_task_pool
from jobsd.redaction import Policies
from jobsd.relay.ledger_keeper import LedgerKeeper
from jobsd.relay.outbox import Pusher
from jobsd.relay.recorder import Recorder
from jobsd.schedule.declared import schedules_of
from jobsd.service import backoff_s
from jobsd.store.connection import AWAY, connect
from jobsd.store.outbox import PushedJobs
from jobsd.store.record_stream import RecordStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.daemon.role import Role
    from jobsd.daemon.settings import Settings
    from jobsd.records.pool import Pool
    from jobsd.schedule.definition import Schedule

_RECORDS_DRAIN_S = 5.0
_STREAM_TIMEOUT_S = 10.0  # above the stream's blocking read


class Hosted(Protocol):
    """What a daemon runs: a worker for the configured queues, or one of arq's."""

    @property
    def ready(self) -> asyncio.Event: ...
    @property
    def grace_s(self) -> float: ...
    @property
    def left_running(self) -> int: ...
    async def run(self) -> None: ...
    def stop(self) -> None: ...
    def hold(self) -> None: ...
    def resume(self) -> None: ...


class Maker(Protocol):
    """Makes it from what its tasks share, once the servers are there, and says so in the log."""

    def __call__(self, shared: dict[str, Any], /, *, records: bool) -> Hosted: ...


async def serve(settings: Settings, *, redis_url: str, database_url: str | None, role: Role | None = None) -> None:
    """Run a daemon until SIGTERM or SIGINT. Raises ConfigurationError or SchemaError before anything runs."""
    role = role or Alone()
    configure_task_logs(settings.tasks, settings.log.level)
    tasks = import_tasks(settings.tasks)
    if role.first:
        warn_of_unnamed()
        _warn_of_unlimited({name for task in tasks.values() for name in task.resources} - settings.resources.keys())

    def make(shared: dict[str, Any], *, records: bool) -> Worker:
        worker = Worker(
            redis_url,
            tasks,
            settings.queues,
            settings.worker,
            records=records,
            backlog=settings.records.backlog,
            redact=settings.records.redact,
            shared=shared,
            unknown_queues=settings.unknown_queues,
            resources=settings.resources,
            timezone=settings.timezone,
            child=child_setup(settings, redis_url=redis_url, database_url=database_url, daemon=role.number),
        )
        log.info(
            Event.DAEMON_STARTED,
            worker=worker.id,
            redis=masked(redis_url),
            queues={name: queue.weight for name, queue in settings.queues.items()},
            tasks=len(tasks),
            concurrency=settings.worker.concurrency,
            records=records,
        )
        return worker

    policies = Policies(tasks, settings.records.redact)
    addresses = Addresses(redis_url, database_url)
    declared = {name: options.written() for name, options in settings.cron.items()}
    await host(settings, make, policies, addresses, role, schedules_of(declared, tasks, zone=settings.timezone))


class Addresses(NamedTuple):
    """Where the servers are."""

    redis_url: str
    database_url: str | None


async def host(
    settings: Settings,
    make: Maker,
    policies: Policies,
    addresses: Addresses,
    role: Role,
    schedules: Sequence[Schedule] = (),
) -> None:
    """Open what there is to share, run what ``make`` returns until it ends or is told to, close everything.

    ``policies`` say what the recorder shows of jobs whose worker did not live to tell of them.
    """
    redis_url, database_url = addresses
    asked_schedules.of_daemon = asked_schedules.Addresses(redis_url, database_url, settings.timezone)
    stop = Signals(role.reload)
    async with AsyncExitStack() as stack:
        stack.enter_context(stop)
        role.attend(stop)
        shared: dict[str, Any] = {}
        recorder = None
        if database_url is not None:
            if role.first:
                recorder = await _open_recorder(stack, redis_url, database_url, settings, policies, stop)
            shared["db"] = await open_task_pool(database_url)
            stack.push_async_callback(close_task_pool, shared["db"])
        elif role.first:
            log.warning(
                Event.RECORDS_DISABLED,
                consequence="jobs run; no execution is recorded",
                remedy="set JOBSD_DATABASE_URL",
            )
        if not await _redis_answers(redis_url, stop):
            return
        shared["client"] = client = Client(redis_url)
        stack.push_async_callback(client.close)
        _calm_collector()
        worker = make(shared, records=database_url is not None)
        if role.first:
            await stack.enter_async_context(scheduling(redis_url, database_url, schedules, stop.requested))
        await _run(worker, recorder, stop, role)
    log.info(Event.DAEMON_STOPPED)


async def _run(worker: Hosted, recorder: Recorder | None, stop: Signals, role: Role) -> None:
    if role.held:
        worker.hold()
    stop.command(worker)
    telling = asyncio.create_task(_tell(worker, stop, role))
    recording = None if recorder is None else asyncio.create_task(recorder.run())
    try:
        await worker.run()
        if recorder is not None:
            await role.others_ended()
    finally:
        telling.cancel()
        # What resists still runs, and its job perhaps elsewhere, too: the records wait for whoever comes next.
        drain_s = 0.0 if worker.left_running else _RECORDS_DRAIN_S
        if recorder is not None and recording is not None:
            recorder.stop()
            await asyncio.wait({recording}, timeout=drain_s)
            recording.cancel()  # what it did not settle is read again, by whoever comes next
            await asyncio.gather(recording, return_exceptions=True)
            await recorder.drain(drain_s)


async def _tell(worker: Hosted, stop: Signals, role: Role) -> None:
    """Tell who started us how far we are."""
    await worker.ready.wait()
    role.ready(worker.grace_s)
    await stop.requested.wait()
    role.stopping()


def _warn_of_unlimited(resources: set[str]) -> None:
    for name in sorted(resources):
        log.warning(Event.RESOURCE_UNLIMITED, resource=name, remedy=f"say in [resources] how much there is of {name}")


def _calm_collector() -> None:
    """Look for garbage cycles less often: a daemon makes many short-lived objects and few cycles."""
    gc.freeze()  # what was imported stays
    gc.set_threshold(20_000, 20, 100)


async def _check_schema(pool: Pool, settings: Settings) -> None:
    """Refuse to start on a schema that is missing or newer. Postgres away is no reason: records wait in Redis."""
    try:
        await ensure_schema(pool, settings.records.migrate)
    except UnreachableError:
        return  # the recorder says so, and tries until it answers


async def _open_recorder(
    stack: AsyncExitStack, redis_url: str, database_url: str, settings: Settings, policies: Policies, stop: Signals
) -> Recorder:
    pool = await open_pool(database_url)
    stack.push_async_callback(pool.close)
    await stop.unless_stopped(_check_schema(pool, settings))
    redis = connect(redis_url, call_timeout_s=_STREAM_TIMEOUT_S, connections=4)
    stack.push_async_callback(redis.aclose)
    records = settings.records
    views = records.views if records.migrate == "auto" and records.views != NO_VIEWS else None
    recorder = Recorder(RecordStream(redis, _consumer()), pool, migrate=records.migrate, views=views, policies=policies)
    await stack.enter_async_context(
        LedgerKeeper(pool, lambda: recorder.ready, keep=records.keep, keep_outcomes=records.keep_outcomes)
    )
    pusher = Pusher(pool, PushedJobs(redis), lambda: recorder.ready)
    await stack.enter_async_context(pusher.running())
    return recorder


async def _redis_answers(url: str, stop: Signals) -> bool:
    """Wait until Redis answers; say once that it does not. False if the daemon was told to stop meanwhile."""
    redis = connect(url, connections=1)
    failures = 0
    try:
        while not stop.requested.is_set():
            try:
                await redis.ping()  # pyright: ignore[reportUnknownMemberType]
            except AWAY as error:
                failures += 1
                if failures == 1:
                    log.warning(
                        Event.REDIS_UNREACHABLE,
                        url=masked(url),
                        cause=str(error),
                        consequence="trying until it answers",
                    )
                await stop.within(backoff_s(failures))
            else:
                if failures:
                    log.info(Event.REDIS_CONNECTED, url=masked(url))
                return True
    finally:
        await redis.aclose()
    return False


def _consumer() -> str:
    return f"{os.getpid()}-{secrets.token_hex(3)}"
