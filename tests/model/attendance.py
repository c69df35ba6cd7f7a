"""Nobody is forgotten: for every queue with something to do there is a token, a watch, or a worker that was told."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from jobsd.store.jobs import Quota
from jobsd.store.keys import base_key
from tests.model.openings import opening

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jobsd.store.jobs import Claimed
    from tests.model.layout import Sight


class Attendance:
    """What workers were told: when to look at which queue. ``coming``: queues at which somebody looks next anyway."""

    def __init__(self) -> None:
        self.coming: set[str] = set()
        self._told: dict[str, dict[str, int]] = defaultdict(dict)
        self._opens: dict[str, int] = {}
        self._dead: set[str] = set()

    def claimed(self, worker: str, quotas: Sequence[Quota], claimed: Claimed) -> None:
        for queue, _, gate in quotas:
            self.coming.discard(queue)
            self._told[queue].pop(worker, None)
            if claimed.look_at is not None:
                self._told[queue][worker] = claimed.look_at
            _, opens, closes = gate.split(":") if gate else ("", "", "")
            shut = closes and claimed.now >= int(closes)
            self._opens[queue] = max(int(opens or 0), claimed.now + 1000 if shut else 0)
        if worker in self._dead:
            self.gone(worker)

    def gone(self, worker: str) -> None:
        """A worker comes no more; others look by themselves now and then."""
        self._dead.add(worker)
        for queue, told in self._told.items():
            if told.pop(worker, None) is not None:
                self.coming.add(queue)

    def hands_on(self, worker: str, queues: Iterable[str], now: int) -> None:
        """A worker does not look again at its queues, unless it was told to do so at once."""
        for queue in queues:
            if self._told[queue].pop(worker, now + 1) <= now:
                self.coming.add(queue)

    def broken_by(self, sight: Sight, queues: Iterable[str], now: int) -> Iterator[str]:
        for queue in queues:
            at = opening(sight, Quota(queue, 0), now, with_leases=False)
            if at is None or queue in self.coming or sight.tokens[base_key(queue)]:
                continue
            at = max(at, now, self._opens.get(queue, 0))
            due, _ = sight.watches.get(base_key(queue), (at + 1, ""))
            if min([due, *self._told[queue].values()]) > at:
                yield f"nobody comes to {queue}, of which something may start at {at}"
