"""What the keepers promise of themselves, tick by tick; what their scripts do is tested in tests/store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobsd.engine.keepers import Recoverer
from jobsd.engine.options import WorkerOptions

if TYPE_CHECKING:
    from collections.abc import Sequence


class Shelf:
    """A shard whose queues the test names; it notes in which the dead were looked for."""

    def __init__(self) -> None:
        self.known = ["default"]
        self.searched: set[str] = set()

    @property
    def looks(self) -> Shelf:
        return self

    async def queues(self) -> list[str]:
        return list(self.known)

    async def recover(self, queues: Sequence[str], **_: Any) -> list[str]:
        self.searched |= set(queues)
        return []


@pytest.mark.parametrize("lease_s", [1, 4, 15, 60])
@pytest.mark.parametrize("ticks_before", range(12))
async def test_a_new_queue_is_searched_for_dead_workers_jobs_within_a_lease(lease_s: int, ticks_before: int) -> None:
    shelf = Shelf()
    recoverer = Recoverer(shelf, WorkerOptions(lease=f"{lease_s}s"), records=True)
    waited_s = 0.0
    for _ in range(ticks_before):
        waited_s = await recoverer.tick() or 0.0
    shelf.known.append("new")
    while "new" not in shelf.searched:
        assert waited_s <= lease_s
        waited_s += await recoverer.tick() or 0.0
