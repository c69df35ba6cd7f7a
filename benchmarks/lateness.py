"""How late runs of schedules begin in a daemon that has nothing else to do: until the task's first line."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.latency import distribution
from benchmarks.processes import CHECKOUT, IncompleteError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.ground import Ground
    from benchmarks.report import Report

_MEASURE = "lateness"
RECORDED, REDIS = "100 schedules, recorded", "100 schedules, Redis alone"
_SCHEDULES = 100
_STARTS_WITHIN_S = 20.0
_SETTINGS = """
tasks = ["benchmarks.lateness_tasks"]
redis_url = "{redis_url}"
{database}
"""
_SCHEDULE = """
[cron.bench-{number}]
task = "bench:note"
at = "{second} * * * * *"
seconds = true
args = ["{file}"]
"""


async def measure_recorded(ground: Ground, report: Report, seconds: int) -> None:
    await _measure(ground, report, RECORDED, seconds, f'database_url = "{ground.database_url}"')


async def measure_redis(ground: Ground, report: Report, seconds: int) -> None:
    await _measure(ground, report, REDIS, seconds, "")


async def _measure(ground: Ground, report: Report, row: str, seconds: int, database: str) -> None:
    await ground.clear()
    with tempfile.TemporaryDirectory(prefix="jobsd-bench-") as place:
        file, config = Path(place) / "late", Path(place) / "jobsd.toml"
        schedules = (
            _SCHEDULE.format(number=number, second=number * 60 // _SCHEDULES, file=file) for number in range(_SCHEDULES)
        )
        config.write_text(_SETTINGS.format(redis_url=ground.redis_url, database=database) + "".join(schedules))
        async with _a_daemon(config):
            began = time.monotonic()
            while not file.exists():
                if time.monotonic() > began + _STARTS_WITHIN_S:
                    raise IncompleteError("the daemon runs no schedule")
                await asyncio.sleep(0.1)
            await asyncio.sleep(1.5)  # what came while the daemon started was late for that reason
            size = file.stat().st_size
            await asyncio.sleep(seconds)
            late = [float(line) for line in file.read_text()[size:].splitlines()]
    wanted = _SCHEDULES * seconds // 60
    if not 0.95 * wanted <= len(late) <= 1.05 * wanted:
        raise IncompleteError(f"{len(late):,} runs began, and {wanted:,} were due")
    report.keep(_MEASURE, row, late)
    report.add(_MEASURE, row, early=sum(each < 0 for each in late), **distribution(late))


@asynccontextmanager
async def _a_daemon(config: Path) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jobsd", "run", "--config", str(config)),
        cwd=CHECKOUT,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us alone
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
