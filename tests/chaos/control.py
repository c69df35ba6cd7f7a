"""The first run again, with daemons that break its promises: what the laws do not see then, they never see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.altered import FAULTS
from tests.chaos.faults import Plan
from tests.chaos.records import run

if TYPE_CHECKING:
    from collections.abc import Callable

JOBS = 20_000
_PLAN = Plan(kills=3, stops=1, restarts=2, away_s=(0.2, 1.0), cut_every_s=(0.2, 0.4))


async def seen(fault: str, *, jobs: int, seed: int, say: Callable[[str], None]) -> list[str]:
    """Return what the laws say of daemons with this fault; nothing: the fault goes unseen."""
    ran = await run(jobs, _PLAN, daemons=3, seed=seed, say=say, altered=("hasty", fault))
    return ran.verdict.broken


__all__ = ["FAULTS", "JOBS", "seen"]
