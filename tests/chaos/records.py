"""Jobs run in several daemons while Postgres is restarted, daemons are killed and connections are cut."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from tests.chaos.altered import FAULTS
from tests.chaos.calls import enqueue, settled
from tests.chaos.daemons import some_daemons
from tests.chaos.faults import Faults, Met, Plan
from tests.chaos.ground import a_ground
from tests.chaos.laws import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

JOBS, DAEMONS = 200_000, 3
LONG = Plan(kills=10, stops=5, restarts=5, away_s=(0.2, 4.0), cut_every_s=(1.0, 2.0))


class Ran(NamedTuple):
    """``took_s`` is from the first enqueue until the last record was written."""

    jobs: int
    took_s: float
    met: Met
    verdict: Verdict


async def run(
    jobs: int, plan: Plan, *, daemons: int, seed: int, say: Callable[[str], None], altered: Sequence[str] = ()
) -> Ran:
    """Run it all, and judge."""
    async with a_ground() as ground:
        async with some_daemons(ground, daemons, altered=altered) as crew:
            say(f"two servers and {daemons} daemons started")
            began = monotonic()
            await enqueue(ground, jobs)
            say(f"{jobs:,} jobs enqueued")
            faults = Faults(ground, crew, plan, seed, say)
            await faults.meet(jobs)
            say("all faults are over")
            stuck = await settled(ground.redis)
            took_s = monotonic() - began
            say("no job and no record moves any more")
            await crew.stop()
        verdict = await judge(jobs, crew.begun, ground.pool)
        verdict.broken += stuck + crew.troubles()
        if verdict.broken and not FAULTS.keys() & set(altered):
            verdict.broken.append(crew.keep())
        return Ran(jobs, took_s, faults.met, verdict)
