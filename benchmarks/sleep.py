"""Jobs that mostly wait: how much of what the slots allow is reached, at several numbers of slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.filling import fill_arq, fill_jobsd
from benchmarks.jobsd_worker import nap
from benchmarks.processes import IncompleteError, measuring

if TYPE_CHECKING:
    from benchmarks.ground import Ground
    from benchmarks.report import Report

CONCURRENCIES = (10, 100, 1_000)
NAP_S = 0.05
_MOST_OF_ARQ = 4_000  # it does as many a second at 1,000 at once as at 100
_WITHIN_S = 60.0
_MEASURE = "sleep"


async def measure_jobsd(ground: Ground, report: Report, each: int) -> None:
    """Results kept, nothing recorded; ``each`` is how many jobs there are for every slot."""
    for concurrency in CONCURRENCIES:
        jobs = concurrency * each
        await ground.clear()
        await fill_jobsd(ground, (nap.job(NAP_S) for _ in range(jobs)))
        figures = await _run("jobsd_worker", concurrency, jobs, redis_url=ground.redis_url, database_url=None)
        report.add(_MEASURE, f"jobsd, {concurrency:,} at once", **figures)


async def measure_arq(ground: Ground, report: Report, each: int) -> None:
    for concurrency in CONCURRENCIES:
        jobs = min(concurrency * each, _MOST_OF_ARQ)
        await ground.clear()
        await fill_arq(ground.redis, "nap", ((NAP_S,) for _ in range(jobs)))
        figures = await _run("arq_worker", concurrency, jobs, redis_url=ground.redis_url)
        report.add(_MEASURE, f"arq, {concurrency:,} at once", **figures)


async def _run(module: str, concurrency: int, jobs: int, **options: object) -> dict[str, float]:
    async with measuring(module, _WITHIN_S, jobs=jobs, concurrency=concurrency, **options) as worker:
        found: dict[str, Any] = await worker.answer()
    if "seconds" not in found:
        raise IncompleteError(f"{module}: {found['ended']:,} of {jobs:,} jobs had ended after {_WITHIN_S:g} s")
    jobs_per_s = jobs / found["seconds"]
    return {"jobs_per_s": jobs_per_s, "ideal": jobs_per_s * NAP_S / concurrency}
