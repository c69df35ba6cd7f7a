"""A rate holds across processes, in every window, and is used up.

In the suite the window is short. Two minutes: ACCEPTANCE_RATE=5/10s ACCEPTANCE_RATE_WINDOWS=12.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobRequest
from jobsd.rate import Rate
from tests.acceptance.witness import until, workers_are

if TYPE_CHECKING:
    from redis.asyncio import Redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_RATE = os.environ.get("ACCEPTANCE_RATE", "5/500ms")
_WINDOWS = int(os.environ.get("ACCEPTANCE_RATE_WINDOWS", "12"))


async def test_three_processes_never_start_more_than_the_rate_in_any_window_and_use_it_up(
    daemon: Any, redis_url: str, redis: Redis
) -> None:
    rate = Rate.parse(_RATE)
    env = {"JOBSD_QUEUES__DEFAULT__RATE": _RATE, "JOBSD_LOG__LEVEL": "INFO"}
    daemons = [daemon(**env) for _ in range(3)]
    await until(lambda: workers_are(redis, 3))
    wanted = rate.count * _WINDOWS + 1
    async with Client(redis_url) as client:
        await client.enqueue_many(JobRequest("tell_start", (n,), {}, "default") for n in range(wanted))
        await until(lambda: _started(redis, wanted), 2 * _WINDOWS * rate.window_ms / 1000 + 30)
    starts = sorted(int(start) for start in await redis.lrange("starts", 0, -1))
    gaps = [later - earlier for earlier, later in zip(starts, starts[rate.count :], strict=False)]
    assert min(gaps) > rate.window_ms, "one more than the rate would be in a window"
    used = _WINDOWS * rate.window_ms / (starts[-1] - starts[0])
    print(f"{len(starts)} starts, used to {used:.1%}; {rate.count + 1} starts took {min(gaps)} ms at least")  # noqa: T201
    assert used > 0.95, f"used to {used:.1%}"
    for one in daemons:
        assert one.terminate() == 0


async def _started(redis: Redis, wanted: int) -> bool:
    return await redis.llen("starts") == wanted
