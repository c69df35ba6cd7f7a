"""Schedules of five daemons become one job a due time, while daemons die, clocks are wrong and servers lose everything.

With ``control`` nobody judges who fires a due time: then some have to become two jobs, or the run sees nothing.
"""

from __future__ import annotations

from datetime import datetime
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple

from jobsd.clock import utc_from_ms
from jobsd.records.migrate import migrate
from tests.chaos.daemons import Addresses, some_daemons
from tests.chaos.effect_faults import EffectFaults, Plan
from tests.chaos.ground import a_ground
from tests.chaos.schedule_laws import Span, Verdict, judge, late_ms
from tests.chaos.schedule_site import RUN_TIME, TABLES, Site, declared, overlaps

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from tests.chaos.daemons import Daemons

SECONDS, CONTROL_SECONDS = 600, 60
DOUBLES = "due times have become more than one job"
SKEWS_S = 0, 90, -90
_KILL_EVERY_S = 20
_FREEZE_EVERY_S = 100
_SERVERS_FAIL_EVERY_S = 200
_NO_KEY = "ALTER TABLE jobsd.schedule_runs DROP CONSTRAINT schedule_runs_once"
QUIET = Plan(
    kills=0,
    stops=0,
    freezes=0,
    halts=(),
    flushes=0,
    losses=0,
    crashes=0,
    restarts=0,
    evictions=0,
    away_s=(0.2, 8.0),  # schedules wait 2 s for it, then go on in Redis
    frozen_s=(4.5, 7.0),  # longer than a lease, and what it takes until others notice
    pushing_s=(0, 0),
    cuts=False,
)


class Crew(NamedTuple):
    """``starts_s`` is how long the daemons may take to start: from then on all is counted, and fails."""

    daemons: int = 5
    lease: str = "3s"
    starts_s: int = 15
    altered: tuple[str, ...] = ()


class Ran(NamedTuple):
    """``skews_s`` are those that the daemons' own logs show, by daemon; ``late_ms`` at calm times, ascending."""

    verdict: Verdict
    met: Counter[str]
    skews_s: list[int]
    late_ms: list[float]
    took_s: float


def a_plan(seconds: int, *, redis_only: bool = False) -> Plan:
    """Return what fails in a run of that length."""
    times = 0 if redis_only else max(2, seconds // _SERVERS_FAIL_EVERY_S)
    return QUIET._replace(
        kills=seconds // _KILL_EVERY_S, freezes=seconds // _FREEZE_EVERY_S, flushes=times, crashes=times, restarts=times
    )


class Way:
    """How much of the time is over. It is a run's way, as jobs are of others."""

    def __init__(self, began_s: float, length_s: float) -> None:
        self._began_s = began_s
        self._length_s = length_s

    def part(self) -> float:
        return (monotonic() - self._began_s) / self._length_s


async def run(
    seconds: int,
    plan: Plan,
    crew: Crew,
    *,
    seed: int,
    say: Callable[[str], None],
    control: bool = False,
    redis_only: bool = False,
) -> Ran:
    """Run it all, and judge. The schedules go on for ``seconds`` from when the daemons have started."""
    async with a_ground() as ground:
        wall_s, began_s = time() - monotonic(), monotonic()
        await migrate(ground.pool)
        await ground.pool.execute(TABLES)
        if control:
            await ground.pool.execute(_NO_KEY)
        end = int(time()) + crew.starts_s + seconds
        altered = ("skewed", *crew.altered, *(("unjudged",) if control else ()))
        database_url = None if redis_only else ground.postgres.url
        async with some_daemons(
            ground,
            crew.daemons,
            altered=altered,
            tasks="schedule_tasks",
            lease=crew.lease,
            addresses=Addresses(ground.redis_url, database_url),
            schedules=declared(utc_from_ms(end * 1000), recorded=not redis_only),
            skews_s=SKEWS_S,
        ) as daemons:
            site = Site(ground, daemons, database_url, overlaps(redis_only=redis_only))
            async with site.watching():
                if not redis_only:
                    await site.add(RUN_TIME, utc_from_ms(end * 1000))
                say(f"two servers and {crew.daemons} daemons started")
                way = Way(monotonic(), max(1, end - time()))
                faults = EffectFaults(ground, daemons, plan, seed, way, say)
                await faults.meet()
                say("all faults are over")
                stuck = await site.settled(end * 1000)
                say("nothing moves any more")
                stuck += await daemons.examined()
                facts = await site.facts([Span(*span) for span in faults.spans], end * 1000)
            await daemons.stop()
            verdict = judge(facts)
            skews_s = [_skew_s(daemons, number, wall_s) for number in range(len(daemons.all))]
            verdict.broken += stuck + daemons.troubles()
            if verdict.broken and not control:
                verdict.broken.append(daemons.keep())
            allowed = [name for name, overlap in facts.overlaps.items() if overlap == "allow"]
            return Ran(
                verdict=verdict,
                met=faults.met,
                skews_s=skews_s,
                late_ms=late_ms(facts, allowed, wall_s),
                took_s=monotonic() - began_s,
            )


def _skew_s(daemons: Daemons, number: int, wall_s: float) -> int:
    """Return by how much the daemon's log is ahead of when we saw its first line, in tens of seconds."""
    daemon = daemons.all[number]
    said_s = datetime.fromisoformat(daemon.lines("daemon.started")[0]["time"]).timestamp()
    return round((said_s - (daemon.started_s + wall_s)) / 10) * 10
