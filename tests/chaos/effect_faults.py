"""What fails in the run ``effects``, and when: at parts of the way that are drawn by a seed.

Daemons are killed, stopped, frozen past their lease, and halted at the worst places, one after the other; meanwhile
Redis loses what it knows, and Postgres its connections, or itself. What the wires cut goes on all the while (wires.py).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from jobsd.errors import UnreachableError
from jobsd.store.connection import AWAY, connect
from tests.chaos.calls import asked
from tests.chaos.halting import halted_at
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.chaos.daemons import Daemon, Daemons
    from tests.chaos.ground import Ground
    from tests.chaos.progress import Progress

_FIRST, _LAST = 0.03, 0.95
_HALTS_WITHIN_S = 120.0
_BEGINS_AGAIN_WITHIN_S = 30.0
_STUCK_AFTER_S = 600.0
_CUTS_S = (0.5, 2.0)
_OTHERS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname = current_database()
"""


PLACES = {
    "inside": "in an open transaction",
    "committed": "between its commit and its end",
    "before-push": "before a push",
    "after-push": "after a push",
}
"""Where a daemon halts (halting.py)."""


class Plan(NamedTuple):
    """How often what fails; durations are the least and the most, in seconds."""

    kills: int
    stops: int
    freezes: int
    halts: tuple[str, ...]
    """The places at which one daemon halts, each time."""
    flushes: int
    losses: int
    """Redis is killed, and starts again without what it was told last."""
    crashes: int
    """Restarts of Postgres in immediate mode."""
    restarts: int
    evictions: int
    """All of Postgres' connections are ended."""
    away_s: tuple[float, float]
    frozen_s: tuple[float, float]
    """Longer than a lease, with what it takes until others notice."""
    pushing_s: tuple[float, float]
    """The same of who halts at a push: longer than it may hold on to rows."""
    cuts: bool
    """Redis' connections are cut, again and again."""


_Strike: TypeAlias = "Callable[[random.Random], Awaitable[str]]"
_Kinds: TypeAlias = dict[str, tuple[int, _Strike]]
"""How often, and what is done then; it returns what there is to say of it."""


class EffectFaults:
    """``say`` gets a line for each fault."""

    def __init__(
        self,
        ground: Ground,
        daemons: Daemons,
        plan: Plan,
        seed: int,
        progress: Progress,
        say: Callable[[str], None],
    ) -> None:
        self.met: Counter[str] = Counter()
        self.over = 0.0
        """The part of the way whose faults are over."""
        self.spans: list[tuple[str, float, float]] = []
        """What has failed, and from when until when, as ``monotonic`` has it."""
        self._ground = ground
        self._daemons = daemons
        self._seed = seed
        self._plan = plan
        self._progress = progress
        self._say = say
        self._overs = [0.0, 0.0]

    async def meet(self) -> None:
        """Return when all that was planned has happened."""
        plan = self._plan
        of_daemons: _Kinds = {
            "kill -9 of a daemon": (plan.kills, self._kill),
            "a daemon stopped in order": (plan.stops, self._stop),
            "SIGSTOP past the lease": (plan.freezes, self._freeze),
        }
        for place, words in PLACES.items():
            of_daemons[f"a daemon halted {words}"] = plan.halts.count(place), self._halting(place)
        of_servers: _Kinds = {
            "FLUSHALL": (plan.flushes, self._flush),
            "Redis killed": (plan.losses, self._kill_redis),
            "Postgres crashed": (plan.crashes, self._crash),
            "Postgres restarted": (plan.restarts, self._restart),
            "connections to Postgres ended": (plan.evictions, self._evict),
        }
        cutting = asyncio.create_task(self._cut())
        try:
            async with asyncio.TaskGroup() as faults:
                for number, kinds in enumerate((of_daemons, of_servers)):
                    faults.create_task(self._strike(number, kinds))
        finally:
            cutting.cancel()
            await asyncio.gather(cutting, return_exceptions=True)
        if not cutting.cancelled():
            await cutting

    async def _strike(self, number: int, kinds: _Kinds) -> None:
        dice = random.Random(f"{self._seed} {number}")
        names = [name for name, (times, _) in kinds.items() for _ in range(times)]
        dice.shuffle(names)
        for part, name in zip(_parts(len(names), dice), names, strict=True):
            self._overs[number] = part
            self.over = min(self._overs)
            await until(lambda part=part: self._progress.part() >= part, patience_s=_STUCK_AFTER_S)
            began = monotonic()
            said = await kinds[name][1](dice)
            self.spans.append((name, began, monotonic()))
            self.met[name] += 1
            self._say(f"{part:4.0%}  {name}{said} ({self.met[name]} of {kinds[name][0]})")
        self._overs[number] = 1.0
        self.over = min(self._overs)

    async def _kill(self, dice: random.Random) -> str:
        await self._daemons.replace(dice.choice(self._daemons.running), kill=True)
        return ""

    async def _stop(self, dice: random.Random) -> str:
        await self._daemons.replace(dice.choice(self._daemons.running), kill=False)
        return ""

    async def _freeze(self, dice: random.Random) -> str:
        daemon = dice.choice(self._daemons.running)
        daemon.freeze()
        return await self._thaw(daemon, dice.uniform(*self._plan.frozen_s))

    def _halting(self, place: str) -> _Strike:
        async def halt(dice: random.Random) -> str:
            (self._daemons.halts / place).touch()
            await until(lambda: any(daemon.frozen for daemon in self._daemons.running), patience_s=_HALTS_WITHIN_S)
            [daemon] = [daemon for daemon in self._daemons.running if daemon.frozen]
            frozen_s = self._plan.pushing_s if place.endswith("push") else self._plan.frozen_s
            return await self._thaw(daemon, dice.uniform(*frozen_s), place)

        return halt

    async def _thaw(self, daemon: Daemon, frozen_s: float, place: str = "") -> str:
        await asyncio.sleep(frozen_s)
        if place == "inside":  # two runs are to be there at once, however slow the machine is
            key = halted_at(self._daemons.halts, place).read_text("ascii")
            with suppress(TimeoutError):
                await until(lambda: self._progress.runs(key) > 1, patience_s=_BEGINS_AGAIN_WITHIN_S)
        daemon.thaw()
        return f", for {frozen_s:.1f} s"

    async def _flush(self, _: random.Random) -> str:
        await asked(self._ground.redis.flushall)
        return ""

    async def _kill_redis(self, _: random.Random) -> str:
        self._ground.kill_redis()
        await until(self._redis_answers)
        return ""

    async def _redis_answers(self) -> bool:
        with suppress(*AWAY):
            return await self._ground.redis.ping()
        return False

    async def _crash(self, dice: random.Random) -> str:
        await self._ground.postgres.die()
        return await self._back(dice)

    async def _restart(self, dice: random.Random) -> str:
        await self._ground.postgres.stop()
        return await self._back(dice)

    async def _back(self, dice: random.Random) -> str:
        away_s = dice.uniform(*self._plan.away_s)
        await asyncio.sleep(away_s)
        await self._ground.postgres.start()
        return f", back after {away_s:.1f} s"

    async def _evict(self, _: random.Random) -> str:
        while True:
            try:
                return f": {await self._ground.pool.fetchval(_OTHERS)}"
            except UnreachableError:
                await asyncio.sleep(0.1)

    async def _cut(self) -> None:
        """Cut every connection to Redis but our own, again and again."""
        dice = random.Random(f"{self._seed} cuts")
        async with connect(self._ground.redis_url, connections=1) as redis:
            while self._plan.cuts:
                await asyncio.sleep(dice.uniform(*_CUTS_S))
                with suppress(*AWAY):
                    killed = await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                    self.met["connections to Redis cut"] += killed


def _parts(number: int, dice: random.Random) -> list[float]:
    """Return ``number`` parts of the way, one in each of as many stretches."""
    stretch = (_LAST - _FIRST) / max(1, number)
    return [_FIRST + (n + dice.random()) * stretch for n in range(number)]
