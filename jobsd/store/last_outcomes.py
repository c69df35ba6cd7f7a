"""How the last runs of schedules have ended, as far as Redis keeps it: completed jobs for an hour or so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.schedule.state import Ended
from jobsd.store.codec import decode_result
from jobsd.store.keys import DEFAULT_SHARD, RESULT, base_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

_AT_ONCE = 1000
_MOST_RESULTS = 100


async def last_outcomes(
    redis: Redis, jobs: Sequence[tuple[str, str]], *, shard: str = DEFAULT_SHARD
) -> dict[str, Ended]:
    """Return job -> "succeeded" or "failed", and when, of those that have ended and are kept.

    ``jobs`` are ("<id> <incarnation>", queue).
    """
    found: dict[str, Ended] = {}
    succeeded: list[str] = []
    for start in range(0, len(jobs), _AT_ONCE):
        some = jobs[start : start + _AT_ONCE]
        pipe: Any = redis.pipeline(transaction=False)
        for job, queue in some:
            for key in ("completed", "archived"):
                pipe.zscore(f"{base_key(queue, shard)}:{key}", job.partition(" ")[0])
        scores = await pipe.execute()
        for (job, _), completed, archived in zip(some, scores[::2], scores[1::2], strict=True):
            if completed is not None:
                succeeded.append(job)
            elif archived is not None:
                found[job] = Ended("failed", int(archived))
    for start in range(0, len(succeeded), _MOST_RESULTS):
        some_ended = succeeded[start : start + _MOST_RESULTS]
        results = await redis.mget([RESULT + job.partition(" ")[0] for job in some_ended])
        for job, stored in zip(some_ended, results, strict=True):
            found[job] = Ended("succeeded", decode_result(stored).finished_at if stored else None)
    return found
