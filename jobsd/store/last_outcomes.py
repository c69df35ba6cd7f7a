"""How the last runs of schedules have ended, as far as Redis keeps it: completed jobs for an hour or so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.store.keys import DEFAULT_SHARD, base_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

_AT_ONCE = 1000


async def last_outcomes(redis: Redis, jobs: Sequence[tuple[str, str]], *, shard: str = DEFAULT_SHARD) -> dict[str, str]:
    """Return job -> "succeeded" or "failed" of those that have ended and are kept.

    ``jobs`` are ("<id> <incarnation>", queue).
    """
    found: dict[str, str] = {}
    for start in range(0, len(jobs), _AT_ONCE):
        some = jobs[start : start + _AT_ONCE]
        pipe: Any = redis.pipeline(transaction=False)
        for job, queue in some:
            for key in ("completed", "archived"):
                pipe.zscore(f"{base_key(queue, shard)}:{key}", job.partition(" ")[0])
        scores = await pipe.execute()
        for (job, _), completed, archived in zip(some, scores[::2], scores[1::2], strict=True):
            if completed is not None:
                found[job] = "succeeded"
            elif archived is not None:
                found[job] = "failed"
    return found
