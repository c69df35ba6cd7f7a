"""The end of a worker's work: what runs may end, or is cancelled; no more is claimed; others wait for what comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from jobsd.engine.attempt import Attempt, Stop
from jobsd.events import Event
from jobsd.logger import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from jobsd.engine.dispatcher import Dispatcher
    from jobsd.engine.options import WorkerOptions
    from jobsd.engine.waker import Waker

_CANCELLED_WITHIN_S = 1.5  # at shutdown: `docker stop` kills two seconds after the grace
ANSWERED_WITHIN_S = 2.0


class Drain:
    """``attempts`` are what runs, ``dispatching`` the dispatcher's loop if it has begun. ``at_once`` ends the grace."""

    def __init__(
        self,
        attempts: Mapping[str, Attempt],
        dispatcher: Dispatcher,
        dispatching: asyncio.Task[None] | None,
        waker: Waker,
        options: WorkerOptions,
        at_once: asyncio.Event,
    ) -> None:
        self._attempts = attempts
        self._dispatcher = dispatcher
        self._dispatching = dispatching
        self._waker = waker
        self._grace_s = options.grace.total_seconds()
        self._cancel_grace_s = min(options.cancel_grace.total_seconds(), _CANCELLED_WITHIN_S)
        self._at_once = at_once

    async def run(self) -> None:
        """Let what runs end, then cancel it: after the grace a matter of seconds. What is left afterwards resists."""
        self._dispatcher.stop()
        leaving = asyncio.create_task(self._leave_to_others())
        if not self._at_once.is_set():
            await self._ended_within(self._grace_s, unless=self._at_once)
        for attempt in list(self._attempts.values()):
            attempt.cancel(Stop.SHUTDOWN)
        await self._ended_within(self._cancel_grace_s)
        await self._end_dispatch()
        await asyncio.wait({leaving}, timeout=ANSWERED_WITHIN_S)
        leaving.cancel()

    async def _leave_to_others(self) -> None:
        """Let other workers wait for what is to come, from now on, however long the grace is."""
        if self._dispatching is not None:
            await asyncio.wait({self._dispatching})
        await quietly(self._waker.end())
        await quietly(self._dispatcher.hand_on())

    async def _end_dispatch(self) -> None:
        """End the claims. One whose answer has not come is asked for again: its jobs are given back by the worker.

        If that is not answered either, its leases run out and count as lost: nobody can tell by then.
        """
        if self._dispatching is None:
            return
        await asyncio.wait({self._dispatching}, timeout=ANSWERED_WITHIN_S)
        self._dispatching.cancel()
        await asyncio.gather(self._dispatching, return_exceptions=True)
        if self._dispatcher.unanswered:
            await quietly(asyncio.wait_for(self._dispatcher.claim(1), ANSWERED_WITHIN_S))

    async def _ended_within(self, seconds: float, unless: asyncio.Event | None = None) -> None:
        running = {attempt.runs_in for attempt in self._attempts.values() if attempt.runs_in}
        if not running:
            return
        ended = asyncio.create_task(_all_ended(running))
        waiting: set[asyncio.Task[Any]] = {ended}
        if unless is not None:
            waiting.add(asyncio.create_task(unless.wait()))
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()


async def quietly(call: Awaitable[Any]) -> None:
    """Do it if it can be done: this is the way out, and a poll is the net."""
    try:
        await call
    except Exception as error:  # noqa: BLE001 - see above
        log.debug(Event.SERVICE_FAILED, service="Worker", cause=repr(error))


async def _all_ended(running: set[asyncio.Task[None]]) -> None:
    await asyncio.wait(running)
