"""Which queue gets which of the free slots. Pure, and exact over time, also with one slot at a time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from jobsd.store.jobs import Quota

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobsd.store.jobs import Lease


class Shares:
    """Weights as shares of the slots, by credit: what a queue was owed and not given, it is given next.

    A queue without jobs keeps no credit, so its share goes to the others at once and it does not come
    back with a claim to hours of slots. Weight 0 gets what all others leave. With ``strict`` every queue
    gets what those of higher weight leave.

    Source: deficit round robin (Shreedhar and Varghese, 1995), a slot as the unit of work.
    """

    def __init__(self, weights: Mapping[str, int], *, strict: bool = False) -> None:
        self._strict = strict
        total = sum(weights.values())
        self._share = {queue: weight / total if total else 0.0 for queue, weight in weights.items()}
        self._credit = dict.fromkeys(weights, 0.0)
        self._cut = False
        self._line = list(weights)
        """Who goes first of those that are owed the same: each in turn. What they share may be enough for one."""

    def plan(self, slots: int) -> list[Quota]:
        """Return the quota of each queue, in order of preference; they add up to ``slots`` if a weight is positive.

        Nothing is charged before ``settle``: a claim that fails may be planned again.
        """
        if self._strict:
            order = sorted(self._share, key=lambda queue: self._share[queue], reverse=True)
            return [Quota(queue, slots if queue == order[0] else 0) for queue in order]
        owed = self._owed(slots)
        quotas = {queue: max(0, int(slots)) for queue, slots in owed.items()}
        left = slots - sum(quotas.values())
        for queue in sorted(owed, key=lambda queue: owed[queue], reverse=True):
            # The rest of the division: one each, to those that are owed the largest part of a slot.
            if left > 0 and self._share[queue] > 0:
                quotas[queue] += 1
                left -= 1
        self._line.append(self._line.pop(0))
        order = sorted(self._line, key=lambda queue: self._preference(queue, owed[queue]), reverse=True)
        return [Quota(queue, min(quotas[queue], slots)) for queue in order]

    def settle(self, plan: Sequence[Quota], leases: Sequence[Lease], *, cut: bool = False) -> None:
        """Charge what was taken. What a queue took of another's share is a gift, not a debt.

        ``cut`` says that the answer ended before the queues did: then the slots shared were those taken.
        """
        taken = dict.fromkeys(self._credit, 0)
        for lease in leases:
            taken[lease.queue] += 1
        if self._strict:
            return
        self._cut = cut
        if cut:
            owed = self._owed(len(leases))
            self._credit = {queue: owed[queue] - taken[queue] for queue in owed}
            return
        owed = self._owed(sum(quota.slots for quota in plan))
        self._credit = {queue: owed[queue] - slots if taken[queue] >= slots else 0.0 for queue, slots, _ in plan}

    def _preference(self, queue: str, owed: float) -> tuple[bool, float]:
        """Who is owed most goes first, and weight 0 last; after a cut, who was left out longest for its share."""
        share = self._share[queue]
        return share > 0, self._credit[queue] / share if self._cut and share else owed

    def _owed(self, slots: int) -> dict[str, float]:
        return {queue: self._credit[queue] + slots * share for queue, share in self._share.items()}


def preference(weights: Mapping[str, int], *, strict: bool = False) -> list[str]:
    """Return the queues in an order of preference for a single slot.

    By chance: over time each comes first as often as its weight says; those of weight 0 come last.
    With ``strict`` those of higher weight come first.

    Source: weighted random sampling (Efraimidis and Spirakis, 2006).
    """
    drawn = {queue: weight if strict else _drawn(weight) for queue, weight in weights.items()}
    return sorted(drawn, key=drawn.__getitem__, reverse=True)


def _drawn(weight: int) -> float:
    return random.random() ** (1 / weight) if weight else -1.0
