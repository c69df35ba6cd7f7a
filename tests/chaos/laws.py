"""What must be true of the ledger when all jobs have ended and no record waits, whatever has failed meanwhile.

The tasks' own file is the witness: a line for every attempt that has begun, written before anything else.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from jobsd.clock import utc_from_ms
from jobsd.records.folding import MOST, fold
from jobsd.records.history import History

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from jobsd.records.pool import Pool

    Run = tuple[str, int]

_UNBEGUN = frozenset({"lost", "interrupted", "cancelled"})
"""How a run may end that never called its function."""
_SHOWN = 3
_ROWS = "SELECT job_id, attempt, outcome, transition FROM jobsd.executions"
_SUMS = """
SELECT count(*) AS runs,
    count(*) FILTER (WHERE outcome = 'succeeded') AS succeeded,
    count(*) FILTER (WHERE outcome IN ('failed', 'timed_out')) AS failures,
    count(*) FILTER (WHERE outcome = 'lost') AS lost,
    count(*) FILTER (WHERE transition = 'retry') AS retries
FROM jobsd.executions WHERE task = 'begin'
"""


class Row(NamedTuple):
    job_id: str
    attempt: int
    outcome: str
    transition: str

    @property
    def run(self) -> Run:
        return self.job_id, self.attempt


@dataclass
class Verdict:
    """What was found, and every promise that was broken, in words."""

    attempts: int
    """Runs that called their function."""
    rows: int
    outcomes: Counter[str]
    unbegun: Counter[str]
    """Outcomes of the rows of runs that never called it."""
    broken: list[str] = field(default_factory=list[str])


async def judge(jobs: int, begun: Path, pool: Pool) -> Verdict:
    """Hold the ledger against the witness. Also folds the statistics, to see that they stay what they were."""
    rows = [Row(*row.values()) for row in await pool.fetch(_ROWS)]
    verdict = held_against(jobs, read_begun(begun), rows)
    verdict.broken += await _sums_differ(pool, "before folding")
    while await fold(pool) >= MOST:
        pass
    verdict.broken += await _sums_differ(pool, "after folding")
    if rejected := await pool.fetchval("SELECT count(*) FROM jobsd.records_rejected"):
        verdict.broken.append(f"{rejected:,} records were rejected")
    return verdict


def read_begun(begun: Path) -> list[Run]:
    """Return (job id, attempt) of every line."""
    words = [line.split(" ") for line in begun.read_text("ascii").splitlines()]
    return [(job_id, int(attempt)) for job_id, attempt in words]


def held_against(jobs: int, begun: list[Run], rows: list[Row]) -> Verdict:
    """Return what the ``rows`` show of so many ``jobs``, whose runs have ``begun``."""
    attempts, recorded = Counter(begun), Counter(row.run for row in rows)
    unbegun = [row for row in rows if row.run not in attempts]
    endings = Counter(row.job_id for row in rows if row.transition == "completed")
    succeeded = sum(row.outcome == "succeeded" for row in rows)
    verdict = Verdict(
        attempts=len(begun),
        rows=len(rows),
        outcomes=Counter(row.outcome for row in rows),
        unbegun=Counter(row.outcome for row in unbegun),
    )
    told = {
        "attempts began twice": [run for run, times in attempts.items() if times > 1],
        "attempts have no row": [run for run in attempts if run not in recorded],
        "attempts have more than one row": [run for run, times in recorded.items() if times > 1],
        "rows are of runs that never began, and say otherwise": [
            (*row.run, row.outcome) for row in unbegun if row.outcome not in _UNBEGUN
        ],
        "jobs have no ending": [job for job in {job for job, _ in begun} if job not in endings],
        "jobs have more than one ending": [job for job, times in endings.items() if times > 1],
    }
    verdict.broken += [_in_words(what, found) for what, found in told.items() if found]
    if len(endings) != jobs:
        verdict.broken.append(f"{len(endings):,} jobs have an ending, and {jobs:,} were enqueued")
    if succeeded != jobs:
        verdict.broken.append(f"{succeeded:,} rows say succeeded, and there are {jobs:,} jobs")
    return verdict


async def _sums_differ(pool: Pool, when: str) -> list[str]:
    """Compare the task's statistics with a count of its rows."""
    (sums,) = await pool.fetch(_SUMS)
    counted = dict(sums)
    statistics = await History(pool).statistics(task="begin", since=utc_from_ms(0))
    told = {name: sum(getattr(each, name) for each in statistics) for name in counted}
    return [
        f"statistics {when} say {told[name]:,} {name}, the rows are {counted[name]:,}"
        for name in counted
        if told[name] != counted[name]
    ]


def _in_words(what: str, found: Iterable[object]) -> str:
    every = sorted(map(str, found))
    return f"{len(every):,} {what}: {', '.join(every[:_SHOWN])}{', …' if len(every) > _SHOWN else ''}"
