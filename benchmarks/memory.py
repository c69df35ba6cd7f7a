"""What a job that waits takes of Valkey's memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.backlog import check
from benchmarks.filling import TEXT, fill_arq, fill_jobsd
from benchmarks.jobsd_worker import noop
from jobsd.store.keys import base_key

if TYPE_CHECKING:
    from benchmarks.ground import Ground
    from benchmarks.report import Report

_MEASURE = "memory"
_LOOK_EVERY_S = 0.1
_STILL_BYTES = 1024


async def measure_jobsd(ground: Ground, report: Report, jobs: int) -> None:
    await ground.clear()
    await fill_jobsd(ground, [noop.job(0, TEXT)])  # the script, and the keys that a queue has only once
    empty = await _used(ground)
    await fill_jobsd(ground, (noop.job(number, TEXT) for number in range(jobs)))
    used = await _used(ground)
    check("jobs that wait", await ground.redis.zcard(base_key("default")), jobs + 1)
    report.add(_MEASURE, "jobsd", bytes=(used - empty) / jobs)


async def measure_arq(ground: Ground, report: Report, jobs: int) -> None:
    await ground.clear()
    empty = await _used(ground)
    await fill_arq(ground.redis, "noop", ((number, TEXT) for number in range(jobs)))
    used = await _used(ground)
    check("jobs that wait", await ground.redis.zcard("arq:queue"), jobs)
    report.add(_MEASURE, "arq", bytes=(used - empty) / jobs)


async def _used(ground: Ground) -> int:
    """Return the bytes in use, but for connections' buffers and the AOF's, once tables have stopped growing."""
    before = -1
    while True:
        found = await ground.redis.info("memory")
        used = found["used_memory"] - found["mem_clients_normal"] - found["mem_aof_buffer"]
        if abs(used - before) < _STILL_BYTES:
            return used
        before = used
        await asyncio.sleep(_LOOK_EVERY_S)
