"""What a worker sees to by itself of its queues' limits: so many in one process, and only within their hours.

The other limits are claim.lua's. All are kept in Redis, so that they can be set at run time; workers look there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.engine.keepers import Keeper
from jobsd.events import Event
from jobsd.hours import Hours
from jobsd.logger import log
from jobsd.store.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jobsd.engine.attempt import Attempt
    from jobsd.store.jobs import Jobs, Quota

_LOOK_EVERY_S = 5.0


class Opening:
    """Some hours, worked out once for each of their intervals."""

    __slots__ = ("_asked_at", "_hours", "_interval")

    def __init__(self, hours: Hours) -> None:
        self._hours = hours
        self._asked_at = 0
        self._interval = (0, 0)

    def at(self, now: int) -> tuple[int, int]:
        """Return the interval [from, until) in which ``now`` lies, or else the next; all in epoch ms."""
        if not self._asked_at <= now < self._interval[1]:
            self._asked_at, self._interval = now, self._hours.interval(now)
        return self._interval


class Gates(Keeper):
    """Knows which of the worker's queues have such limits, and counts what runs of those.

    ``freed`` is called when one of them that was full has room again, and when limits have changed.
    """

    def __init__(
        self, jobs: Jobs, queues: Sequence[str], attempts: Mapping[str, Attempt], freed: Callable[[], None]
    ) -> None:
        super().__init__()
        self._jobs = jobs
        self._queues = list(queues)
        self._attempts = attempts
        self._freed = freed
        self._texts: dict[str, str] | None = None
        self._most: dict[str, int] = {}
        self._running: dict[str, int] = {}
        self._openings: dict[str, Opening] = {}
        self.limited = False
        """Whether any queue has such limits: else nobody needs to ask."""

    @property
    def known(self) -> bool:
        return self._texts is not None

    async def tick(self) -> float | None:
        await self.refresh()
        return _LOOK_EVERY_S

    async def refresh(self) -> None:
        """Read which limits are in effect."""
        texts = await self._jobs.looks.limits(self._queues)
        if texts == self._texts:
            return
        before, self._texts = self._texts, texts
        limits = {queue: _limits(queue, text) for queue, text in texts.items()}
        self._most = {queue: one.process_concurrency for queue, one in limits.items() if one.process_concurrency}
        self._openings = {queue: Opening(Hours.parse(one.hours)) for queue, one in limits.items() if one.hours}
        self.limited = bool(self._most or self._openings)
        self._running = dict.fromkeys(self._most, 0)
        for attempt in list(self._attempts.values()):
            self.began(attempt.lease.queue)
        if before is not None:
            self._freed()

    def began(self, queue: str) -> None:
        if queue in self._running:
            self._running[queue] += 1

    def ended(self, queue: str) -> None:
        running = self._running.get(queue)
        if running is not None:
            self._running[queue] = running - 1
            if running == self._most[queue]:
                self._freed()

    def full(self) -> frozenset[str]:
        """Return the base keys of the queues of which this process may run no more."""
        return frozenset(self._jobs.base(queue) for queue, most in self._most.items() if self._running[queue] >= most)

    def put_before(self, plan: Sequence[Quota], now: int) -> list[Quota]:
        """Return the plan with what each queue's limits let this worker take; ``now`` is the server's."""
        return [quota._replace(gate=self._gate(quota.queue, now)) for quota in plan]

    def _gate(self, queue: str, now: int) -> str:
        most, opening = self._most.get(queue), self._openings.get(queue)
        if most is None and opening is None:
            return ""
        left = "" if most is None else max(0, most - self._running[queue])
        opens, closes = ("", "") if opening is None else opening.at(now)
        return f"{left}:{opens}:{closes}"


def _limits(queue: str, text: str) -> Limits:
    try:
        limits = Limits.from_text(text)
        if limits.hours:
            Hours.parse(limits.hours)
    except ValueError as error:  # a later version wrote it, or this machine lacks the time zone
        log.warning(Event.LIMITS_UNREADABLE, queue=queue, limits=text, cause=str(error), consequence="they do not hold")
        return Limits()
    return limits
