"""What must be true of the effects when all faults are over and nothing moves any more.

Three tell of it, none of them jobsd: who enqueued (which transactions committed), the table of effects, which has no
key, and the tasks' own file, of every run that began. Beside them stands the ledger.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.chaos.orders import Fate
from tests.chaos.ways import FOLLOWING, WAYS, Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from jobsd.records.pool import Pool

_SHOWN = 3
_ENDINGS = """
SELECT job_id || '-' || incarnation AS key, outcome, transition, result_data::text AS result FROM jobsd.executions
WHERE transition IN ('completed', 'archived', 'removed')
"""


class Effect(NamedTuple):
    n: int
    way: str
    key: str
    token: str


class Start(NamedTuple):
    n: int
    key: str
    attempt: int


class Ending(NamedTuple):
    key: str
    outcome: str
    transition: str
    result: Any


class Facts(NamedTuple):
    """``orders`` are the rows that transactions wrote which also enqueued: what is there was committed."""

    fates: Mapping[int, Fate]
    ways: Mapping[int, str]
    orders: set[int]
    effects: list[Effect]
    starts: list[Start]
    endings: list[Ending]


@dataclass
class Verdict:
    """What was found, and every promise that was broken, in words."""

    jobs: int = 0
    """Those whose transactions committed, and those that they enqueued."""
    rolled_back: int = 0
    in_doubt: int = 0
    turned_out: int = 0
    """Of those in doubt so many had been committed."""
    starts: int = 0
    most_starts: int = 0
    begun_again: int = 0
    """Jobs of which more than one run began."""
    ended_again: int = 0
    """Jobs that Redis lost between their end and its record: the next run finds the effect, and ends as well."""
    broken: list[str] = field(default_factory=list[str])


async def facts(fates: Mapping[int, Fate], ways: Mapping[int, str], begun: Path, pool: Pool) -> Facts:
    orders = await pool.fetch("SELECT n FROM witness.orders")
    effects = await pool.fetch("SELECT n, way, key, token FROM witness.effects")
    endings = await pool.fetch(_ENDINGS)
    return Facts(
        fates,
        ways,
        {row["n"] for row in orders},
        [Effect(**row) for row in effects],
        starts(begun),
        [Ending(row["key"], row["outcome"], row["transition"], _read(row["result"])) for row in endings],
    )


def starts(begun: Path) -> list[Start]:
    words = [line.split(" ") for line in begun.read_text("ascii").splitlines()]
    return [Start(int(n), key, int(attempt)) for n, key, attempt in words]


def judge(found: Facts) -> Verdict:
    """Hold what happened against what was committed."""
    effects, began = defaultdict[int, list[Effect]](list), defaultdict[int, list[Start]](list)
    for effect in found.effects:
        effects[effect.n].append(effect)
    for start in found.starts:
        began[start.n].append(start)
    committed = {n for n, fate in found.fates.items() if fate is Fate.COMMITTED}
    rolled_back = {n for n, fate in found.fates.items() if fate is Fate.ROLLED_BACK}
    in_doubt = found.fates.keys() - committed - rolled_back
    wanted = committed | (in_doubt & found.orders)
    jobs: dict[int, Way] = {n: WAYS[found.ways[n]] for n in wanted}
    jobs |= {-n: FOLLOWING for n, way in list(jobs.items()) if way.leads and n in effects}
    keys = {start.n: start.key for start in found.starts} | {effect.n: effect.key for effect in found.effects}
    endings = defaultdict[str, list[Ending]](list)
    for ending in found.endings:
        endings[ending.key].append(ending)
    ended = {n: endings[keys[n]] for n in jobs if n in keys}
    told = {
        "orders were committed, and Postgres has not got them": committed - found.orders,
        "orders were rolled back, and Postgres has them": rolled_back & found.orders,
        "lost: committed, and without an effect": jobs.keys() - effects.keys(),
        "twice: effects of one job": {n for n, way in jobs.items() if way.exact and len(effects[n]) > 1},
        "phantoms: begun, and never committed": began.keys() - jobs.keys(),
        "phantoms: with an effect, and never committed": effects.keys() - jobs.keys(),
        "jobs have more than one key": {
            n for n in jobs if len({run.key for run in began[n]} | {effect.key for effect in effects[n]}) > 1
        },
        "keys are of more than one job": [key for key, times in Counter(keys.values()).items() if times > 1],
        "jobs have no ending in the ledger": {n for n in jobs if not ended.get(n)},
        "jobs had their effect, and did not succeed": {
            n for n, ends in ended.items() if any(end.outcome != "succeeded" for end in ends)
        },
        "jobs have lost the result that was set": {
            n for n, ends in ended.items() if jobs[n].keeps and any(end.result != {"n": n} for end in ends)
        },
    }
    return Verdict(
        jobs=len(jobs),
        rolled_back=len(rolled_back),
        in_doubt=len(in_doubt),
        turned_out=len(in_doubt & found.orders),
        starts=len(found.starts),
        most_starts=max(map(len, began.values()), default=0),
        begun_again=sum(len(began[n]) > 1 for n in jobs),
        ended_again=sum(len(ends) > 1 for ends in ended.values()),
        broken=[_in_words(what, numbers) for what, numbers in told.items() if numbers],
    )


def _read(result: str | None) -> Any:
    return None if result is None else json.loads(result)


def _in_words(what: str, found: Iterable[object]) -> str:
    every = sorted(map(str, found))
    return f"{len(every):,} {what}: {', '.join(every[:_SHOWN])}{', …' if len(every) > _SHOWN else ''}"
