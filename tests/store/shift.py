"""A shift: hands that claim as workers do, from one wake-up or due time to the next, and no sooner.

An idle hand sleeps until a token lies in one of its queues or the time at which it was told to look. One that was full
claims when a job of its has ended. So what a limit holds back must come by a token or a time, or it never comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.store.shop import completed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.store.jobs import Lease
    from tests.store.shop import Hand, Shop

_BEAT_MS = 5000


@dataclass(slots=True)
class Shift:
    """``starts`` are (ms, id) in their order; ``vain`` counts the claims that brought nothing."""

    shop: Shop
    hands: Sequence[Hand]
    slots: int = 10
    job_ms: int = 100
    queues: Sequence[str] = ("default",)
    starts: list[tuple[int, str]] = field(default_factory=list)
    claims: int = 0
    vain: int = 0
    _looks: dict[str, int | None] = field(default_factory=dict)
    _idle: set[str] = field(default_factory=set)
    _ends: list[tuple[int, Hand, Lease]] = field(default_factory=list)

    async def work(self, ms: int) -> Shift:
        """Work for ``ms``; every hand begins with a claim."""
        until = self.shop.now + ms
        for hand in self.hands:
            await hand.extend()
            await self._claim(hand)
        while True:
            await self._wake()
            instants = [end for end, _, _ in self._ends] + [look for look in self._looks.values() if look is not None]
            at = min(instants, default=until)
            if at > until or not instants:
                return self
            await self._go_to(at)

    def order(self) -> list[str]:
        return [job_id for _, job_id in self.starts]

    def at(self) -> list[int]:
        return [at for at, _ in self.starts]

    async def _go_to(self, at: int) -> None:
        while self.shop.now < at:
            await self.shop.jump(min(_BEAT_MS, at - self.shop.now))
            for hand in self.hands:
                await hand.extend()
        over = [one for one in self._ends if one[0] <= self.shop.now]
        self._ends = [one for one in self._ends if one[0] > self.shop.now]
        for _, hand, lease in over:
            await hand.finish(completed(lease))
        for hand in self.hands:
            look = self._looks[hand.name]
            freed = hand.name not in self._idle and len(hand.held) < self.slots
            if freed or (look is not None and look <= self.shop.now):
                await self._claim(hand)

    async def _wake(self) -> None:
        """Let sleeping hands take the tokens."""
        for _ in range(1000):
            woken = [hand for hand in self.hands if hand.name in self._idle and await self._token()]
            if not woken:
                return
            await self._claim(woken[0])
        message = "hands wake each other without end"
        raise AssertionError(message)

    async def _token(self) -> bool:
        return any([await self.shop.tokens(queue) for queue in self.queues])

    async def _claim(self, hand: Hand) -> None:
        for _ in range(1000):
            free = self.slots - len(hand.held)
            if free <= 0:
                self._idle.discard(hand.name)
                self._looks[hand.name] = None
                return
            share = {queue: free if queue == self.queues[0] else 0 for queue in self.queues}
            claimed = await hand.ask(free, **share)
            self.claims += 1
            self.vain += not claimed.leases
            for lease in claimed.leases:
                self.starts.append((claimed.now, lease.id))
                self._ends.append((claimed.now + self.job_ms, hand, lease))
            cut = len(claimed.leases) < free and claimed.next_due is not None and claimed.next_due <= claimed.now
            if len(claimed.leases) < free and not cut:
                self._idle.add(hand.name)
                self._looks[hand.name] = claimed.look_at
                return
        message = "a hand claims without end"
        raise AssertionError(message)


def fullest(instants: Sequence[int], window_ms: int) -> int:
    """Return the most instants that lie in one window, its edges included."""
    return max((sum(at <= one <= at + window_ms for one in instants) for at in instants), default=0)
