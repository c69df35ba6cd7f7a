"""Which queue gets which of the free slots. Pure, and exact over time, also with one slot at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.store.jobs import Quota

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobsd.store.jobs import Lease


class Shares:
    """Weights as shares of the slots, by credit: what a queue was owed and not given, it is given next.

    A queue without jobs keeps no credit, so its share goes to the others at once and it does not come
    back with a claim to hours of slots. Weight 0 gets what all others leave.

    Source: deficit round robin (Shreedhar and Varghese, 1995), a slot as the unit of work.
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        total = sum(weights.values())
        self._share = {queue: weight / total if total else 0.0 for queue, weight in weights.items()}
        self._credit = dict.fromkeys(weights, 0.0)

    def plan(self, slots: int) -> list[Quota]:
        """Return the quota of each queue, in order of preference; they add up to ``slots`` if a weight is positive."""
        credit = self._credit
        for queue, share in self._share.items():
            credit[queue] += slots * share
        order = sorted(credit, key=lambda queue: (self._share[queue] > 0, credit[queue]), reverse=True)
        quotas = {queue: max(0, int(credit[queue])) for queue in order}
        left = slots - sum(quotas.values())
        for queue in order:
            # The rest of the division: one each, to those that are owed the largest part of a slot.
            if left > 0 and self._share[queue] > 0:
                quotas[queue] += 1
                left -= 1
        return [Quota(queue, min(quotas[queue], slots)) for queue in order]

    def settle(self, plan: Sequence[Quota], leases: Sequence[Lease]) -> None:
        """Charge what was taken. What a queue took of another's share is a gift, not a debt."""
        taken = dict.fromkeys(self._credit, 0)
        for lease in leases:
            taken[lease.queue] += 1
        for queue, quota in plan:
            if taken[queue] < quota:
                self._credit[queue] = 0.0
            else:
                self._credit[queue] -= quota
