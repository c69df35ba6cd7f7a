"""What a limit costs that never bites: the backlog again, with limits that are far away, beside one without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.backlog import check, run_jobsd
from jobsd.store.keys import base_key

if TYPE_CHECKING:
    from benchmarks.ground import Ground
    from benchmarks.report import Report

_MEASURE = "limits"
FREE = "no limit"
_KEYS = 10


async def measure_free(ground: Ground, report: Report, jobs: int) -> None:
    await _measure(ground, report, jobs, FREE, "")


async def measure_concurrency(ground: Ground, report: Report, jobs: int) -> None:
    await _measure(ground, report, jobs, "concurrency", "100000:::::||")


async def measure_rate(ground: Ground, report: Report, jobs: int) -> None:
    await _measure(ground, report, jobs, "rate", ":100000:1000:::||")


async def measure_keys(ground: Ground, report: Report, jobs: int) -> None:
    """Ten limit keys, of which each has a tenth of the running jobs."""
    await _measure(ground, report, jobs, "limit keys", ":::50::||", keys=_KEYS)


async def _measure(ground: Ground, report: Report, jobs: int, row: str, limits: str, keys: int = 0) -> None:
    figures = await run_jobsd(ground, jobs, limits=limits, keys=keys)
    left = [key async for key in ground.redis.scan_iter(f"{base_key('default')}:lane:*")]
    check("lanes that are left", len(left), 0)
    report.add(_MEASURE, row, both_us=figures["worker_us"] + figures["valkey_us"], **figures)
