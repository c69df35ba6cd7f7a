"""A recorder alone, with the keeper of its ledger; ends after so many rows."""

from __future__ import annotations

from asyncio import timeout
from contextlib import suppress

import uvloop

from benchmarks.jobsd_worker import a_recorder
from benchmarks.meter import LOOK_EVERY_S, Meter, reached
from benchmarks.processes import answer, options


async def main(redis_url: str, database_url: str, jobs: int, concurrency: int, within_s: float) -> None:
    del concurrency
    meter = Meter()
    figures: dict[str, float] = {}
    meter.begin()
    with suppress(TimeoutError):
        async with timeout(within_s), a_recorder(redis_url, database_url) as recorder:
            assert recorder is not None
            await reached(lambda: recorder.recorded, jobs, LOOK_EVERY_S)
            figures = {"seconds": meter.seconds(), "cpu_s": meter.cpu_s()}
            ended = recorder.recorded
    answer(ended=ended, **figures)


if __name__ == "__main__":
    uvloop.run(main(**options()))
