"""The backlog again, but that no system keeps its results: what the servers do for the queue alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.backlog import check, run_arq, run_jobsd
from jobsd.store.keys import RESULT

if TYPE_CHECKING:
    from benchmarks.ground import Ground
    from benchmarks.report import Report

_MEASURE = "unkept"


async def measure_jobsd(ground: Ground, report: Report, jobs: int) -> None:
    figures = await run_jobsd(ground, jobs, keep_results=False)
    await _check_none(ground)
    report.add(_MEASURE, "jobsd", **figures)


async def measure_arq(ground: Ground, report: Report, jobs: int) -> None:
    figures = await run_arq(ground, jobs, keep_results=False)
    await _check_none(ground)
    report.add(_MEASURE, "arq", **figures)


async def _check_none(ground: Ground) -> None:
    kept = [key async for key in ground.redis.scan_iter(f"{RESULT}*", count=1_000)]
    check("results that are kept", len(kept), 0)
