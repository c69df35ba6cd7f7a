"""The children of one worker: which job goes to which.

A task that says ``executor="process"`` has a child to itself for the time of its run. So has a job of which two runs
were lost with their processes: what dies there, alone, is the culprit. Jobs of which one run was lost run in one child
together, the quarantine, as they would in the worker: most lost workers were not killed by a job.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from jobsd.engine.children import messages
from jobsd.engine.children.memory import machine_memory
from jobsd.engine.children.process import ENDED_AT_ONCE, Child, ChildError, UnbegunError
from jobsd.engine.children.quarantine import Quarantine
from jobsd.events import Event
from jobsd.logger import log
from jobsd.outcome import NoRoom, Outcome, TooEarly
from jobsd.size import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.definition import Task
    from jobsd.engine.attempt import Attempt
    from jobsd.engine.children.process import ChildSetup
    from jobsd.engine.options import WorkerOptions

_IDLE_S = 60.0
_GROWN_BYTES = 128 * 1024 * 1024
_SHARE_OF_SUSPECTS = 4
_ALONE_AFTER = 2
_TRIES = 3
_AGAIN_S = 5


class Children:
    """Starts children as they are needed. ``freed`` is called when there is room again."""

    def __init__(self, setup: ChildSetup, options: WorkerOptions, freed: Callable[[], None]) -> None:
        self._setup = setup
        self._most = options.children or _processors()
        given = options.suspect_memory
        self._suspect_memory_bytes = parse_size(given) if given else machine_memory() // _SHARE_OF_SUSPECTS
        self._quarantine = Quarantine(setup, self._suspect_memory_bytes, options.cancel_grace.total_seconds())
        self._freed = freed
        self._taken = 0
        self._idle: dict[Child, asyncio.TimerHandle] = {}
        """Those that wait for a job, the one that has waited longest first, each with what ends its wait."""
        self._ending: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    @property
    def room(self) -> int:
        """How many more jobs may come for a child of their own. None waits here: another worker may have one free."""
        return self._most - self._taken

    async def run(self, attempt: Attempt, task: Task[..., object], begin: Callable[[], object]) -> Outcome:
        """Return what became of the job in a child. ``begin`` is called when it is handed over, again if that fails.

        Cancelled, it kills the child of a job that is alone there; in quarantine the function may end by itself.
        """
        try:
            if task.executor is None and attempt.losses < _ALONE_AFTER:
                return await self._quarantine.run(attempt, begin)
            if self.room <= 0:
                return NoRoom()
            return await self._run_alone(attempt, task, begin)
        except (ChildError, OSError) as error:  # no fault of the job: it waits, at no cost
            log.error(Event.CHILD_UNSTARTED, job_id=attempt.lease.id, cause=str(error), again_in_s=_AGAIN_S)
            return TooEarly(attempt.now + 1000 * _AGAIN_S)

    async def close(self) -> None:
        """End every child."""
        await self._quarantine.close()
        while (child := self._an_idle_one()) is not None:
            self._end(child)
        if self._ending:
            await asyncio.wait(self._ending)

    async def _run_alone(self, attempt: Attempt, task: Task[..., object], begin: Callable[[], object]) -> Outcome:
        # A task with a child to itself has what it says; when it was lost with its worker, it ran in one already.
        suspect = task.executor is None
        memory_bytes = self._suspect_memory_bytes if suspect else task.memory_bytes
        job = messages.job_of(attempt.lease, memory_bytes, suspect=suspect)
        self._taken += 1
        try:
            for _ in range(_TRIES):
                child = self._an_idle_one() or await Child.start(self._setup)
                try:
                    begin()
                    return await child.run(job)
                except UnbegunError:
                    continue  # it had died while it was idle
                except asyncio.CancelledError:
                    child.strike()
                    raise
                finally:
                    self._keep(child)
            raise ChildError(ENDED_AT_ONCE)
        finally:
            self._taken -= 1
            self._freed()

    def _an_idle_one(self) -> Child | None:
        while self._idle:
            child, timer = self._idle.popitem()
            timer.cancel()
            if child.alive:
                return child
        return None

    def _keep(self, child: Child) -> None:
        """Let a child wait for its next job, if what the last one has left there does not weigh on it."""
        if child.running or not child.alive or child.peak > child.first_peak + _GROWN_BYTES:
            self._end(child)
            return
        self._idle[child] = self._loop.call_later(_IDLE_S, self._end_idle, child)

    def _end_idle(self, child: Child) -> None:
        if self._idle.pop(child, None) is not None:
            self._end(child)

    def _end(self, child: Child) -> None:
        child.strike()
        ending = self._loop.create_task(child.ended())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


def _processors() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
