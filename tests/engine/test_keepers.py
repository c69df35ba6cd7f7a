"""What the keepers promise of themselves, tick by tick; what their scripts do is tested in tests/store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobsd.engine.keepers import Recoverer, Trimmer
from jobsd.engine.options import WorkerOptions

if TYPE_CHECKING:
    from collections.abc import Sequence


class Shelf:
    """A shard whose queues the test names; it notes in which the dead were looked for, and what is left to trim."""

    def __init__(self) -> None:
        self.known = ["default"]
        self.searched: set[str] = set()
        self.over: dict[str, int] = {}

    @property
    def looks(self) -> Shelf:
        return self

    async def queues(self) -> list[str]:
        return list(self.known)

    async def recover(self, queues: Sequence[str], **_: Any) -> list[str]:
        self.searched |= set(queues)
        return []

    async def trim(self, queue: str, **_: Any) -> int:
        step = min(self.over.get(queue, 0), 700)
        self.over[queue] = self.over.get(queue, 0) - step
        return step


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


async def test_a_queue_with_much_to_forget_holds_up_no_other_and_is_soon_gone_on_with() -> None:
    shelf = Shelf()
    shelf.known, shelf.over = ["big", "small"], {"big": 70_000, "small": 700}
    trimmer, pauses, left = Trimmer(shelf, WorkerOptions()), [], []
    while not pauses or pauses[-1] < 30:
        pauses.append(await trimmer.tick())
        left.append(shelf.over["big"])
        assert shelf.over["small"] == 0
    assert pauses[:-1] == [1.0] * (len(pauses) - 1)
    assert left[:2] == [56_000, 42_000]
    assert left[-1] == 0
