"""What fails, and when: at parts of the way that are drawn by a seed, so that a run of any speed meets all of it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from jobsd.store.connection import connect
from tests.chaos.calls import ended
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.daemons import Daemons
    from tests.chaos.ground import Ground

_FIRST, _LAST = 0.03, 0.93  # of the jobs have ended: what fails last is to be felt, too
_STUCK_AFTER_S = 600.0


class Plan(NamedTuple):
    """How often what fails; durations are the least and the most, in seconds."""

    kills: int
    stops: int
    """Daemons that are told to stop: they hand back what runs, and write what they can."""
    restarts: int
    away_s: tuple[float, float]
    cut_every_s: tuple[float, float]


@dataclass
class Met:
    """What has happened so far."""

    kills: int = 0
    stops: int = 0
    restarts: int = 0
    cuts: int = 0
    connections: int = 0
    """How many were cut, all in all."""
    away_s: list[float] = field(default_factory=list[float])


class Faults:
    """``say`` gets a line for each kill and each restart."""

    def __init__(self, ground: Ground, daemons: Daemons, plan: Plan, seed: int, say: Callable[[str], None]) -> None:
        self.met = Met()
        self._ground = ground
        self._daemons = daemons
        self._plan = plan
        self._seed = seed
        self._say = say

    async def meet(self, jobs: int) -> None:
        """Return when all that was planned has happened; connections are cut all the while."""
        cutting = asyncio.create_task(self._cut())
        try:
            async with asyncio.TaskGroup() as faults:
                faults.create_task(self._replace(jobs))
                faults.create_task(self._restart(jobs))
        finally:
            cutting.cancel()
            await asyncio.gather(cutting, return_exceptions=True)
        if not cutting.cancelled():
            await cutting

    def _dice(self, what: str) -> random.Random:
        """Return the dice of one kind of fault: the others' throws, in whatever order, leave them alone."""
        return random.Random(f"{self._seed} {what}")

    async def _reached(self, part: float, jobs: int) -> None:
        async def there() -> bool:
            return await ended(self._ground.redis) >= part * jobs

        await until(there, patience_s=_STUCK_AFTER_S)

    async def _replace(self, jobs: int) -> None:
        dice, plan = self._dice("daemons"), self._plan
        kills = [True] * plan.kills + [False] * plan.stops
        dice.shuffle(kills)
        for part, kill in zip(_parts(len(kills), dice), kills, strict=True):
            await self._reached(part, jobs)
            await self._daemons.replace(dice.choice(self._daemons.running), kill=kill)
            self.met.kills += kill
            self.met.stops += not kill
            count = f"{self.met.kills} of {plan.kills}" if kill else f"{self.met.stops} of {plan.stops}"
            self._say(f"{part:4.0%}  a daemon {'killed' if kill else 'stopped'}, another in its place ({count})")

    async def _restart(self, jobs: int) -> None:
        dice, postgres, plan = self._dice("Postgres"), self._ground.postgres, self._plan
        for part in _parts(plan.restarts, dice):
            await self._reached(part, jobs)
            away_s = dice.uniform(*plan.away_s)
            await postgres.die()
            await asyncio.sleep(away_s)
            await postgres.start()
            self.met.restarts += 1
            self.met.away_s.append(away_s)
            self._say(f"{part:4.0%}  Postgres died, back after {away_s:.1f} s ({self.met.restarts} of {plan.restarts})")

    async def _cut(self) -> None:
        """Cut every connection of the server but our own, again and again."""
        dice = self._dice("connections")
        async with connect(self._ground.redis_url, connections=1) as redis:
            while True:
                await asyncio.sleep(dice.uniform(*self._plan.cut_every_s))
                self.met.connections += await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                self.met.cuts += 1


def _parts(number: int, dice: random.Random) -> list[float]:
    """Return ``number`` parts of the way, one in each of as many stretches."""
    stretch = (_LAST - _FIRST) / max(1, number)
    return [_FIRST + (n + dice.random()) * stretch for n in range(number)]
