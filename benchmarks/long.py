"""A backlog twenty times as long: whether a job costs as much there, and whether the worker's memory grows.

Valkey rewrites its AOF several times during the long one and not at all during the short one. That is no cost of
the backlog's length, so here it does not happen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.backlog import run_arq, run_jobsd

if TYPE_CHECKING:
    from benchmarks.ground import Ground
    from benchmarks.report import Report

_MEASURE = "long"


async def measure_jobsd(ground: Ground, report: Report, jobs: int) -> None:
    await _measure("jobsd", ground, report, jobs, recording=False)


async def measure_jobsd_million(ground: Ground, report: Report, jobs: int) -> None:
    await _measure("jobsd, a million", ground, report, jobs, recording=False)


async def measure_recording(ground: Ground, report: Report, jobs: int) -> None:
    await _measure("jobsd, recording", ground, report, jobs, recording=True)


async def measure_recording_million(ground: Ground, report: Report, jobs: int) -> None:
    await _measure("jobsd, recording, a million", ground, report, jobs, recording=True)


async def measure_arq(ground: Ground, report: Report, jobs: int) -> None:
    """As many as jobsd has in the standard run, where arq has fewer."""
    async with ground.never_rewriting():
        report.add(_MEASURE, "arq", **await run_arq(ground, jobs))


async def _measure(row: str, ground: Ground, report: Report, jobs: int, *, recording: bool) -> None:
    async with ground.never_rewriting():
        report.add(_MEASURE, row, **await run_jobsd(ground, jobs, recording=recording))
