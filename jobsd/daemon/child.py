"""The program of a worker's child process: ``python -m jobsd.daemon.child <number of a socket>``.

It is assembled like a daemon, from what the worker tells it, and runs the jobs that the worker hands it.
It has no lease and writes no ending: the worker does that. When the worker is gone, so is the child.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import importlib
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from jobsd import schedules
from jobsd.client import Client
from jobsd.daemon.logs import configure_logs, number_lines
from jobsd.definition import registry
from jobsd.engine.attempt import Attempt
from jobsd.engine.calling import Caller
from jobsd.engine.children import memory, messages
from jobsd.engine.children.process import ChildSetup
from jobsd.engine.dependencies import Dependencies
from jobsd.engine.effects import say_swallowed, settled
from jobsd.engine.outcomes import outcome_of
from jobsd.engine.texts import message_of
from jobsd.outcome import Died, Failed, Outcome, Succeeded
from jobsd.records.pool import close_task_pool, open_task_pool
from jobsd.size import format_size
from jobsd.store.codec import JsonCodec
from jobsd.store.connection import connect
from jobsd.store.jobs import Jobs
from jobsd.store.keys import DEFAULT_SHARD

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.daemon.settings import Settings
    from jobsd.definition import Task

_PR_SET_PDEATHSIG = 1


def child_setup(
    settings: Settings, *, redis_url: str, database_url: str | None, daemon: int | None = None
) -> ChildSetup:
    """Return how a worker's child process is started, and what it has to know. Addresses go through its socket."""
    facts = {
        "path": sys.path,
        "modules": settings.tasks,
        "redis_url": redis_url,
        "database_url": database_url,
        "shard": DEFAULT_SHARD,
        "timezone": settings.timezone,
        "daemon": daemon,
        "log_level": settings.log.level,
        "log_format": settings.log.format,
    }
    return ChildSetup((sys.executable, "-m", __name__), facts)


async def main(number: int) -> None:
    inherited = memory.inherited_peak()
    sock = socket.socket(fileno=number)
    sock.set_inheritable(False)  # what tasks start must not keep the line open
    reader, writer = await asyncio.open_unix_connection(sock=sock, limit=messages.LONGEST_LINE)
    async with contextlib.AsyncExitStack() as stack:
        try:
            _, facts = messages.read(await reader.readline())
            program = await _assemble(stack, facts)
        except Exception as error:  # noqa: BLE001 - whatever the tasks' modules raise is told, and ends the child
            writer.write(messages.line(messages.BROKEN, f"{type(error).__name__}: {message_of(error)}"))
            await writer.drain()
            return
        writer.write(messages.line(messages.READY, inherited, memory.own_peak()))
        while text := await reader.readline():
            match messages.read(text):
                case [messages.JOB, job]:
                    program.start(job, writer)
                case [messages.CANCEL, mark]:
                    program.cancel(mark)
                case _:
                    break
        _end_all()  # the worker is gone, and with it whoever would hear of what still runs


async def _assemble(stack: contextlib.AsyncExitStack, facts: dict[str, Any]) -> _Program:
    sys.path[:] = facts["path"]
    configure_logs(facts["log_level"], facts["log_format"])
    if facts["daemon"] is not None:
        number_lines(facts["daemon"])
    schedules.of_daemon = schedules.Addresses(facts["redis_url"], facts["database_url"], facts["timezone"])
    for module in facts["modules"]:
        importlib.import_module(module)
    redis = connect(facts["redis_url"], waiting=True)
    stack.push_async_callback(redis.aclose)
    shared: dict[str, Any] = {"client": Client(facts["redis_url"])}
    stack.push_async_callback(shared["client"].close)
    if facts["database_url"]:
        shared["db"] = await open_task_pool(facts["database_url"])
        stack.push_async_callback(close_task_pool, shared["db"])
    dependencies = Dependencies()
    stack.push_async_callback(dependencies.close)
    await dependencies.open()
    limit = facts["memory"]
    if limit is not None:
        stack.enter_context(memory.at_most(limit))
    return _Program(
        Caller(Jobs(redis, shard=facts["shard"]), shared, dependencies), ends_without_memory=limit is not None
    )


class _NoMemoryError(Exception):
    """All jobs of this process together have used up what they may."""


class _Program:
    """Runs jobs; what the function of one that is alone here allocates may be limited."""

    def __init__(self, caller: Caller, *, ends_without_memory: bool) -> None:
        self._caller = caller
        self._codec = JsonCodec()
        self._ends_without_memory = ends_without_memory
        self._running: dict[str, asyncio.Task[None]] = {}
        self._memory_bytes: int | None = None
        for task in registry.values():
            task.function = self._limited(task)

    def start(self, job: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        """Run a job in a task of its own: what it sets in context variables ends with it."""
        mark = job["mark"]
        writer.write(messages.line(messages.BEGUN, mark))
        running = self._running[mark] = asyncio.create_task(self._run_and_tell(job, writer))
        running.add_done_callback(lambda _: self._running.pop(mark, None))

    def cancel(self, mark: str) -> None:
        if mark in self._running:
            self._running[mark].cancel()

    async def _run_and_tell(self, job: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        try:
            outcome = await self.run(job)
        except asyncio.CancelledError:
            outcome = Failed("CancelledError", "cancelled")  # before its first step
        except _NoMemoryError:
            writer.write(messages.line(messages.PEAK, memory.own_peak()))
            _end_all()  # whose fault it is nobody can tell: each of them is to run alone
        writer.write(messages.ended(job["mark"], outcome, memory.own_peak()))

    async def run(self, job: dict[str, Any]) -> Outcome:
        attempt = Attempt(messages.lease_of(job))
        self._memory_bytes = job["memory"]
        try:
            payload = attempt.payload = self._codec.decode(attempt.lease.payload)
            task = attempt.task = registry.get(payload.task)
            if task is None:
                cause = f"the child process has no task {payload.task!r}: no module that it imports defines it"
                return Failed("ChildError", cause)
            args, kwargs = task.arguments.validate(payload.args, payload.kwargs)
        except Exception as error:  # noqa: BLE001 - a validator of the user's may raise anything
            return Failed("InvalidArgumentsError", message_of(error), for_good=True)
        try:
            outcome: Outcome = Succeeded(await self._caller.call(task, attempt.lease, payload, args, kwargs))
            if attempt.lease.over:
                say_swallowed(attempt)
        except MemoryError as error:
            outcome = self._out_of_memory(attempt, error, suspect=job["suspect"])
        except BaseException as error:  # noqa: BLE001 - not even SystemExit of a task may end the child unheard
            outcome = outcome_of(attempt, error)
        attempt.lease.over = True
        return outcome if attempt.lease.effect is None else await settled(attempt, outcome)

    def _out_of_memory(self, attempt: Attempt, error: MemoryError, *, suspect: bool) -> Outcome:
        if self._ends_without_memory:
            raise _NoMemoryError
        if self._memory_bytes is None:
            return outcome_of(attempt, error)
        peak = memory.own_peak()
        told = f"it asked for more than {format_size(self._memory_bytes)} of memory; peak memory {format_size(peak)}"
        if suspect:
            return Died(f"lost: {told}", peak)
        failed = outcome_of(attempt, error)
        return failed._replace(message=told) if isinstance(failed, Failed) else failed

    def _limited(self, task: Task[..., Any]) -> Callable[..., Any]:
        """Return the task's function with the limit around it and nothing else: to say what happened takes memory."""
        function = task.function

        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            with memory.at_most(self._memory_bytes):
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with memory.at_most(self._memory_bytes):
                return await function(*args, **kwargs)

        return plain if task.plain else awaited


def _end_all() -> NoReturn:
    """End at once, with everything that the tasks have started."""
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _end_with_its_thread() -> None:
    """Have the kernel do the same, for a function that lets nothing else run; on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only a task can send it: no terminal has this process group
    memory.die_first()
    _end_with_its_thread()
    asyncio.run(main(int(sys.argv[1])))
