"""Jobs enqueued in transactions have their effect once, whatever is killed, frozen, emptied or cut meanwhile.

With ``control`` the key that judges is dropped first: then effects have to happen twice, or the run sees nothing.
"""

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from tests.chaos.effect_faults import PLACES, EffectFaults, Plan
from tests.chaos.effect_ground import LOOK_EVERY_S, Crew, a_site
from tests.chaos.effect_laws import Verdict, facts, judge
from tests.chaos.orders import Orders
from tests.chaos.progress import Progress
from tests.chaos.ways import WAYS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable

JOBS = 20_000
CREW = Crew(daemons=3)
LONG = Plan(
    kills=12,
    stops=3,
    freezes=6,
    halts=tuple(PLACES) * 2,
    flushes=8,
    losses=4,
    crashes=4,
    restarts=3,
    evictions=8,
    away_s=(0.2, 3.0),
    frozen_s=(4.5, 7.0),
    pushing_s=(4.5, 24.0),  # push.lua takes nothing that is older than 20 s
    cuts=True,
)
_AHEAD = 0.02  # of the way: so far those who enqueue hurry ahead of the faults
_BACKLOG = 1_000
_NO_KEY = "ALTER TABLE jobsd.effects DROP CONSTRAINT effects_once"


class Ran(NamedTuple):
    """What was cut is told by where, and by script."""

    verdict: Verdict
    met: Counter[str]
    transactions: Counter[str]
    producers_cut: Counter[str]
    daemons_cut: Counter[str]
    answers_swallowed: Counter[str]
    ids_again: int
    """Jobs with an id that another had before."""
    barred: int
    """Runs that were told that the effect is there already."""
    took_s: float
    settled_s: float
    """From the end of the last fault until nothing moved any more."""


async def run(
    jobs: int,
    plan: Plan,
    crew: Crew,
    *,
    seed: int,
    say: Callable[[str], None],
    control: bool = False,
    ways: Iterable[str] = WAYS,
) -> Ran:
    """Run it all, and judge. More are enqueued, slowly, while faults go on that the ``jobs`` did not last for."""
    async with a_site(crew, seed) as site:
        if control:
            await site.ground.pool.execute(_NO_KEY)
        say(f"two servers and {crew.daemons} daemons started")
        began = monotonic()
        progress = Progress(site.daemons.begun, jobs)
        faults = EffectFaults(site.ground, site.daemons, plan, seed, progress, say)

        def hurry(made: int) -> bool:
            return made / jobs < faults.over + _AHEAD and made - progress.jobs() < _BACKLOG

        orders = Orders(site.producers_url, random.Random(f"{seed} orders"), hurry, set(ways))
        async with asyncio.TaskGroup() as group:
            group.create_task(orders.run())
            await faults.meet()
            say("all faults are over")
            while len(orders.fates) < jobs:
                await asyncio.sleep(LOOK_EVERY_S)
            orders.stop()
        site.heal()
        over = monotonic()
        stuck = await site.settled()
        settled = monotonic()
        say("nothing moves any more")
        stuck += await site.daemons.examined()
        await site.daemons.stop()
        verdict = judge(await facts(orders.fates, orders.ways, site.daemons.begun, site.ground.pool))
        verdict.broken += stuck + site.daemons.troubles()
        if verdict.broken and not control:
            verdict.broken.append(site.daemons.keep())
        return Ran(
            verdict=verdict,
            met=faults.met,
            transactions=orders.transactions,
            producers_cut=site.producers_wire.cuts,
            daemons_cut=site.daemons_wire.cuts,
            answers_swallowed=site.redis_wire.cuts,
            ids_again=orders.ids.total() - len(orders.ids),
            barred=site.daemons.count("effect.found"),
            took_s=settled - began,
            settled_s=settled - over,
        )
