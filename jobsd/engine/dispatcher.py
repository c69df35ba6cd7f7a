"""Free slots to queues, then a claim: the loop that feeds a worker."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Protocol

from jobsd.clock import monotonic, now_ms
from jobsd.duration import duration_ms
from jobsd.engine.shares import Shares
from jobsd.events import Event
from jobsd.logger import log
from jobsd.service import Service
from jobsd.store.connection import AWAY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobsd.engine.gates import Gates
    from jobsd.engine.options import QueueOptions, WorkerOptions
    from jobsd.engine.waker import Waker
    from jobsd.store.jobs import Jobs, Lease

_MOST_LEASES = 500
_ARQ_POLL_S = 0.5  # arq's clients send no wake-up
_SLOWED_S = 0.05  # between claims, at half of what could be claimed
_MOST_SLOWED_S = 1.0
_TIMER_S = 0.0005  # timers are this coarse: a little late costs less than a claim that is too early


class Desk(Protocol):
    """The worker, as its dispatcher sees it."""

    @property
    def free_slots(self) -> int: ...
    def start(self, lease: Lease) -> None: ...
    def look(self) -> None: ...
    async def settled(self) -> None: ...


class Dispatcher(Service):
    """Claims for free slots; sleeps when nothing is due.

    A claim whose answer did not come is sent again with the same number, and answered with the same leases.
    """

    expected = AWAY

    def __init__(
        self,
        jobs: Jobs,
        worker: str,
        queues: Mapping[str, QueueOptions],
        options: WorkerOptions,
        waker: Waker,
        gates: Gates,
        desk: Desk,
        *,
        records: bool,
    ) -> None:
        super().__init__()
        self._jobs = jobs
        self._worker = worker
        weights = {name: queue.weight for name, queue in queues.items()}
        self._shares = Shares(weights, strict=options.strict)
        self._lease_ms = duration_ms(options.lease)
        self._max_losses = options.max_losses
        self._queues = list(queues)
        self._poll_s = options.poll.total_seconds()
        if any(":" in queue for queue in queues):
            self._poll_s = min(self._poll_s, _ARQ_POLL_S)
        self._waker = waker
        self._gates = gates
        self._desk = desk
        self._records = records
        self._slot = asyncio.Event()
        self._concurrency = options.concurrency
        self._most = _MOST_LEASES
        self._pause_s = 0.0  # at least so long between two claims
        self._claimed_at = 0.0
        self._told = asyncio.Event()  # something other than before: ends such a pause
        self._number = 0
        self.unanswered = False
        """A claim was sent and its answer has not come: there may be leases that nobody runs."""
        self._idle = False
        self._outdated = 0  # the number of the last claim that was begun before a job's end
        self.held = False
        """No jobs are claimed for now; what runs goes on."""
        self.next_due: int | None = None
        self._look_at: int | None = None
        self._clock_ahead_ms = now_ms() - monotonic() * 1000  # of the monotonic clock; until an answer has told

    def hold(self, *, held: bool) -> None:
        """Take no more jobs for now, or again."""
        self.held = held
        self._told.set()
        self._slot.set()
        self._waker.poke()

    def throttle(self, share: float) -> None:
        """Claim no more than this share of all slots at once, and the less the more seldom: 1.0 as ever, 0.0 nothing.

        What runs goes on.
        """
        self._most = min(_MOST_LEASES, math.ceil(share * self._concurrency)) if share < 1.0 else _MOST_LEASES
        self._pause_s = min(_MOST_SLOWED_S, _SLOWED_S * (1 - share) / share) if share > 0.0 else 0.0
        self._told.set()
        self._slot.set()
        self._waker.poke()

    @property
    def closed(self) -> bool:
        """It claims nothing for now: it is held, or too many records wait."""
        return self.held or not self._most

    def slot_freed(self) -> None:
        self._outdated = self._number
        self._slot.set()

    @property
    def idle(self) -> bool:
        """The last claim left slots free, and no job has ended since: nothing more is due.

        An end may let the next begin that waited for it under a limit.
        """
        return self._idle and self._number > self._outdated

    def stop(self) -> None:
        super().stop()
        self._told.set()
        self._slot.set()
        self._waker.poke()

    async def tick(self) -> float | None:
        if self._pause_s and not self.held and not await self._paused():
            return None
        self._slot.clear()  # before the look: a slot freed from here on is not overlooked
        slots = 0 if self.held else min(self._desk.free_slots, self._most)
        if slots <= 0:
            await self.hand_on()
            await self._slot.wait()
            return None
        if self.failures:
            # Back after an outage: first the endings and the heartbeat, then new work.
            await self._desk.settled()
        if not self._gates.known:
            await self._gates.refresh()
        self._waker.take()
        now = await self.claim(slots)
        if now is not None and not self.stopping:
            await self._sleep_until_due(now)
        return None

    async def claim(self, slots: int) -> int | None:
        """Claim once and start what came. Return the server's time if nothing more is due, else None."""
        plan = self._shares.plan(slots)
        if self._gates.limited:
            plan = self._gates.put_before(plan, int(monotonic() * 1000 + self._clock_ahead_ms))
        if not self.unanswered:
            self._number += 1
            self.unanswered = True
            self._idle = False
        claimed = await self._jobs.claim(
            self._worker,
            self._number,
            plan,
            slots=slots,
            lease_ms=self._lease_ms,
            max_losses=self._max_losses,
            records=self._records,
        )
        self.unanswered = False
        self._claimed_at = monotonic()
        self._clock_ahead_ms = claimed.now - self._claimed_at * 1000
        # Slots are left and more is due: the answer was cut short, by its size.
        cut = len(claimed.leases) < slots and claimed.next_due is not None and claimed.next_due <= claimed.now
        self._shares.settle(plan, claimed.leases, cut=cut)
        for job_id in claimed.lost:
            log.warning(Event.JOB_LOST, job_id=job_id)
        for lease in claimed.leases:
            self._desk.start(lease)
        self.next_due, self._look_at = claimed.next_due, claimed.look_at
        self._idle = len(claimed.leases) < slots and not cut
        return claimed.now if self._idle else None

    async def hand_on(self) -> None:
        """Let others wait for what is to come: this one has no slot for it, or takes no more."""
        base = self._waker.token
        if base is None and self._look_at is None:
            return
        await self._jobs.hand_on(self._worker, self._queues, None if base is None else self._jobs.queue_of(base))
        self._waker.take()
        self._look_at = None

    async def _paused(self) -> bool:
        """Let the pause since the last claim pass; False if something else was told meanwhile."""
        self._told.clear()
        left_s = self._claimed_at + self._pause_s - monotonic()
        if self.stopping or left_s <= 0:
            return not self.stopping
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                await self._told.wait()
                return False
        return True

    async def _sleep_until_due(self, now: int) -> None:
        pause = self._poll_s
        if self._gates.limited or self._waker.leaves_out:
            await self._waker.leave_out(self._gates.full())
        if self._look_at is not None:
            pause = min(pause, (self._look_at - now) / 1000 + _TIMER_S)
        await self._waker.wait(pause)
