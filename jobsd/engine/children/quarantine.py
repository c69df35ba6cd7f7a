"""One child for all jobs whose worker was lost once: away from jobs that nothing is known against.

If it dies, those that ran in it then are suspects, and each has its next run in a child of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobsd.engine.children import messages
from jobsd.engine.children.process import ENDED_AT_ONCE, Child, ChildError, UnbegunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.engine.attempt import Attempt
    from jobsd.engine.children.process import ChildSetup
    from jobsd.outcome import Outcome

_EMPTY_S = 10.0
_TRIES = 3


class Quarantine:
    """Starts its child with the first job, and ends it some time after the last."""

    def __init__(self, setup: ChildSetup, memory_bytes: int, cancel_grace_s: float) -> None:
        self._setup = setup
        self._memory_bytes = memory_bytes
        self._cancel_grace_s = cancel_grace_s
        self._loop = asyncio.get_running_loop()
        self._starting: asyncio.Task[Child] | None = None
        self._end_of_empty: asyncio.TimerHandle | None = None

    async def run(self, attempt: Attempt, begin: Callable[[], object]) -> Outcome:
        """Return what became of the job. Cancelled, it waits for the function's end, and kills the child if none comes.

        Raises ChildError.
        """
        for _ in range(_TRIES):
            child = await self._the_child()
            begin()
            try:
                return await self._run(child, attempt)
            except UnbegunError:
                continue  # it had died, of another job or while it was idle
        raise ChildError(ENDED_AT_ONCE)

    async def _run(self, child: Child, attempt: Attempt) -> Outcome:
        outcome = child.run(messages.job_of(attempt.lease))
        last: asyncio.TimerHandle | None = None
        while not outcome.done():
            try:
                await asyncio.wait({outcome})
            except asyncio.CancelledError:
                child.cancel(attempt.lease.mark)
                last = last or self._loop.call_later(self._cancel_grace_s, child.strike)
        if last is not None:
            last.cancel()
        if self._end_of_empty is not None:
            self._end_of_empty.cancel()
        self._end_of_empty = self._loop.call_later(_EMPTY_S, self._end_if_empty, child)
        return outcome.result()

    async def close(self) -> None:
        starting, self._starting = self._starting, None
        if self._end_of_empty is not None:
            self._end_of_empty.cancel()
        if starting is None:
            return
        starting.cancel()
        await asyncio.wait({starting})
        if not starting.cancelled() and starting.exception() is None:
            starting.result().strike()
            await starting.result().ended()

    async def _the_child(self) -> Child:
        starting = self._starting
        if starting is None or (starting.done() and not _lives(starting)):
            starting = self._loop.create_task(Child.start(self._setup, memory_bytes=self._memory_bytes))
            self._starting = starting
        return await asyncio.shield(starting)

    def _end_if_empty(self, child: Child) -> None:
        starting = self._starting
        if not child.running and starting is not None and _lives(starting) and starting.result() is child:
            self._starting = None
            child.strike()


def _lives(started: asyncio.Task[Child]) -> bool:
    return started.done() and not started.cancelled() and started.exception() is None and started.result().alive
