"""The heartbeat: a thread with its own event loop and connection.

It says that the worker lives, prolongs the leases of all that runs, tells the worker which ones it has
lost, and watches the worker's event loop. A function that blocks the loop therefore keeps its lease; it
is reported with its stack, and only when it is far past every limit is the process ended.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, Literal

from jobsd.clock import monotonic
from jobsd.duration import duration_ms
from jobsd.events import Event
from jobsd.logger import log
from jobsd.service import backoff_s
from jobsd.store.connection import connect
from jobsd.store.jobs import Jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    from jobsd.engine.attempt import Attempt
    from jobsd.engine.options import WorkerOptions
    from jobsd.store.jobs import Lease

_MOST_LEASES = 500
_frames: Callable[[], dict[int, FrameType]] = sys._current_frames  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - documented
_WATCH_S = 0.25
_BLOCKED_S = 1.0  # told one watch to two later: within two seconds of a block's beginning
_ANNOUNCE_EVERY = 12
STALLED_EXIT_CODE = 70


class Heartbeat:
    """Beats three times a lease. Reads ``held`` and ``attempts`` of the worker; writes neither."""

    def __init__(
        self,
        url: str,
        shard: str,
        worker: str,
        options: WorkerOptions,
        *,
        held: Mapping[str, Attempt],
        attempts: Mapping[str, Attempt],
        facts: Mapping[str, str],
        queues: Sequence[str],
        unknown_queues: Literal["accept", "refuse"] | None,
        limits: Mapping[str, str],
        keep: Mapping[str, str],
        lost: Callable[[Sequence[Lease]], None],
    ) -> None:
        self._url = url
        self._shard = shard
        self._worker = worker
        self._lease_ms = duration_ms(options.lease)
        self._interval_s = self._lease_ms / 3000
        self._concurrency = options.concurrency
        self._max_stall_s = options.max_stall.total_seconds()
        self._held = held
        self._attempts = attempts
        self._facts = facts
        self._queues = queues
        self._unknown_queues: Literal["accept", "refuse"] | None = unknown_queues
        self._limits = limits
        self._keep = keep
        self._lost = lost
        self._home = asyncio.get_running_loop()
        self._home_thread = threading.get_ident()
        self._beaten = asyncio.Event()  # of the home loop: set by every beat
        self._stopping = threading.Event()
        self._nudge: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=f"jobsd-heartbeat-{worker}", daemon=True)
        self._ping_sent: float | None = None
        self._blocked_told = False

    def start(self) -> None:
        self._thread.start()

    async def beat_now(self) -> None:
        """Wait for a beat that begins after this call."""
        for _ in range(2):  # the first may have been under way
            self._beaten.clear()
            self._call(self._nudge_set)
            await self._beaten.wait()

    async def stop(self) -> None:
        """End the thread; the worker is signed off."""
        self._stopping.set()
        self._call(self._nudge_set)
        while self._thread.is_alive():  # noqa: ASYNC110 - a thread has no event to await
            await asyncio.sleep(0.005)

    def _call(self, callback: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(callback)

    def _nudge_set(self) -> None:
        if self._nudge is not None:
            self._nudge.set()

    # --- in the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        # A plain loop, whatever the process uses: it must not share anything with the one it watches.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._nudge = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        watch = asyncio.create_task(self._watch())
        redis = connect(self._url, call_timeout_s=max(1.0, self._interval_s), connections=2)
        try:
            await self._beat_until_stopped(Jobs(redis, shard=self._shard))
        finally:
            watch.cancel()
            await redis.aclose()

    async def _beat_until_stopped(self, jobs: Jobs) -> None:
        beats = failures = 0
        announced: str | None = None
        while not self._stopping.is_set():
            assert self._nudge is not None  # noqa: S101 - made in _main
            self._nudge.clear()
            try:
                await self._beat(jobs)
            except Exception as error:  # noqa: BLE001 - the heartbeat outlives any error of one beat
                failures += 1
                if failures == 1:
                    log.warning(Event.SERVICE_FAILED, service="Heartbeat", cause=str(error) or repr(error))
                pause = min(backoff_s(failures), self._interval_s / 2)
            else:
                if failures:
                    log.info(Event.SERVICE_RECOVERED, service="Heartbeat", failures=failures)
                beats, failures, pause = beats + 1, 0, self._interval_s
                self._home_call(self._beaten.set)
                if announced is None or beats % _ANNOUNCE_EVERY == 0 or await self._is_emptied(jobs, announced):
                    announced = await self._announce(jobs, announced)
            await self._pause(pause)
        try:
            await jobs.sign_off(self._worker)
        except Exception as error:  # noqa: BLE001 - it expires by itself
            log.debug(Event.SERVICE_FAILED, service="Heartbeat", cause=repr(error))

    async def _is_emptied(self, jobs: Jobs, epoch: str) -> bool:
        try:
            return await jobs.epoch() != epoch
        except Exception as error:  # noqa: BLE001 - the next beat asks again
            log.debug(Event.SERVICE_FAILED, service="Heartbeat", cause=repr(error))
            return False

    async def _announce(self, jobs: Jobs, epoch: str | None) -> str | None:
        """Say who this worker is; notice a Redis that has lost everything. Leases do not depend on it."""
        try:
            first = epoch is None  # once: another may have said otherwise since
            said, keep = (self._unknown_queues, self._keep) if first else (None, None)
            now = await jobs.announce(self._worker, self._facts, self._queues, said, keep)
            if first:
                await self._say_limits(jobs)
        except Exception as error:  # noqa: BLE001 - a server whose memory is full refuses it; the beats go on
            log.debug(Event.SERVICE_FAILED, service="Heartbeat", cause=repr(error))
            return None
        if epoch is not None and now != epoch:
            log.error(Event.REDIS_EMPTIED, consequence="what was only there is gone; jobs of the outbox come back")
            return None
        return now

    async def _say_limits(self, jobs: Jobs) -> None:
        """Configure the limits. Who came before may have said otherwise: the last one counts, not unseen."""
        before = await jobs.looks.limits(list(self._limits))
        for name, text in self._limits.items():
            now = await jobs.limit(name, "config", text)
            if before[name] not in {"", now}:
                log.warning(Event.LIMITS_CHANGED, limits_of=name, before=before[name], now=now)

    async def _beat(self, jobs: Jobs) -> None:
        leases = [attempt.lease for attempt in list(self._held.values())]
        for start in range(0, max(len(leases), 1), _MOST_LEASES):
            chunk, last = leases[start : start + _MOST_LEASES], start + _MOST_LEASES >= len(leases)
            lost = await jobs.extend(self._worker, self._lease_ms, chunk, last=last)
            if lost:
                self._home_call(self._lost, lost)

    async def _pause(self, seconds: float) -> None:
        assert self._nudge is not None  # noqa: S101
        try:
            async with asyncio.timeout(seconds):
                await self._nudge.wait()
        except TimeoutError:
            return

    def _home_call(self, callback: Callable[..., Any], *args: Any) -> None:
        if not self._home.is_closed():
            self._home.call_soon_threadsafe(callback, *args)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - the watch outlives any error of one look
                log.warning(Event.SERVICE_FAILED, service="Watch", cause=repr(error))

    def _look(self) -> None:
        if self._ping_sent is None:
            self._ping_sent = monotonic()
            self._home_call(self._pong)
        elif monotonic() - self._ping_sent > _BLOCKED_S and not self._blocked_told:
            self._blocked_told = True
            blocker = self._blocker()
            log.warning(
                Event.LOOP_BLOCKED,
                job_id=blocker.lease.id if blocker else None,
                task=blocker.payload.task if blocker and blocker.payload else None,
                blocked_s=round(monotonic() - self._ping_sent, 1),
                stack=self._home_stack(),
                running=self._running(),
            )
        self._end_if_stalled()

    def _pong(self) -> None:
        self._ping_sent = None
        self._blocked_told = False

    def _blocker(self) -> Attempt | None:
        """Return the attempt whose function is at work; None if it is something else, maybe a task that one made."""
        current = asyncio.current_task(self._home)
        attempts = list(self._attempts.values())
        return next((attempt for attempt in attempts if current is not None and attempt.runs_in is current), None)

    def _home_stack(self) -> str:
        frame = _frames().get(self._home_thread)
        return "".join(traceback.format_stack(frame)[-12:]) if frame else "(gone)"

    def _running(self) -> list[str]:
        payloads = [attempt.payload for attempt in list(self._attempts.values())]
        return sorted({payload.task for payload in payloads if payload})[:20]

    def _end_if_stalled(self) -> None:
        """End a process in which a function is ``max_stall`` past its limit: nothing else can take its slot back.

        A plain function in its thread holds up nobody else: those may be stuck as long as a slot is left.
        """
        stuck = [attempt for attempt in list(self._attempts.values()) if self._is_stuck(attempt)]
        in_threads = [attempt for attempt in stuck if attempt.task is not None and attempt.task.plain]
        if not stuck or (len(in_threads) == len(stuck) < self._concurrency and not self._blocked_told):
            return
        attempt = stuck[0]
        payload = attempt.payload
        log.critical(
            Event.LOOP_STALLED,
            job_id=attempt.lease.id,
            task=payload.task if payload else None,
            limit_s=attempt.timeout_ms / 1000 + self._max_stall_s,
            stack=self._home_stack(),
        )
        os._exit(STALLED_EXIT_CODE)

    def _is_stuck(self, attempt: Attempt) -> bool:
        limit_s = attempt.timeout_ms / 1000 + self._max_stall_s
        return attempt.called_at is not None and monotonic() - attempt.called_at > limit_s
