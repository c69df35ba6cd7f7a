"""What arq's clients and workers keep in Redis beside the jobs: abort marks, cron ticks, times to live, health.

Nothing of it is on the path of jobsd's own jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import WatchError

from jobsd.store.keys import JOB, RESULT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio import Redis

ABORT = "arq:abort"
_TICKS_KEPT_MS = 30 * 86_400_000


class Tick(NamedTuple):
    """One due time of a cron entry, as the job that it becomes.

    ``entry`` names the schedule where a due time may become one job only, however late somebody notices it.
    """

    job_id: str
    payload: bytes
    due_ms: int
    expires_ms: int
    entry: str | None


class Neighbours:
    """Reads and writes for one queue, of which ``base`` is the key."""

    def __init__(self, redis: Redis, base: str) -> None:
        self._redis: Any = redis  # redis-py types its answers as "awaitable or not"
        self._base = base

    async def now_ms(self) -> int:
        """Return the server's time: the clocks of machines differ."""
        seconds, microseconds = await self._redis.time()
        return seconds * 1000 + microseconds // 1000

    async def aborts(self) -> dict[str, int]:
        """Return the ids that clients want aborted, with the ms at which each was asked."""
        marks = await self._redis.zrange(ABORT, 0, -1, withscores=True)
        return {job_id.decode(errors="surrogateescape"): int(score) for job_id, score in marks}

    async def abort_of(self, job_id: str) -> int | None:
        score = await self._redis.zscore(ABORT, job_id)
        return None if score is None else int(score)

    async def ended(self, job_ids: Sequence[str]) -> list[str]:
        """Return those of which no payload is left."""
        payloads = await self._redis.mget([JOB + job_id for job_id in job_ids])
        return [job_id for job_id, payload in zip(job_ids, payloads, strict=True) if payload is None]

    async def drop_aborts(self, marks: Mapping[str, int]) -> None:
        """Remove marks, unless they were set again meanwhile: then the next look decides."""
        async with self._redis.pipeline(transaction=True) as pipe:
            try:
                await pipe.watch(ABORT)
                scores = await pipe.zmscore(ABORT, list(marks))
                same = [job_id for job_id, score in zip(marks, scores, strict=True) if score == marks[job_id]]
                if not same:
                    return
                pipe.multi()
                pipe.zrem(ABORT, *same)
                await pipe.execute()
            except WatchError:
                return

    async def enqueue_tick(self, tick: Tick) -> bool:
        """Store the tick's job; False if its id is taken, or this due time or a later one has had its job."""
        while True:
            async with self._redis.pipeline(transaction=True) as pipe:
                try:
                    return await self._enqueue(pipe, tick)
                except WatchError:  # another worker was at the same tick: look again
                    continue

    async def _enqueue(self, pipe: Any, tick: Tick) -> bool:
        job, result, ticks = JOB + tick.job_id, RESULT + tick.job_id, f"{self._base}:cron"
        await pipe.watch(job, result, ticks)
        if await pipe.exists(job, result):
            return False
        if tick.entry is not None and tick.due_ms <= int(await pipe.hget(ticks, tick.entry) or 0):
            return False
        pipe.multi()
        pipe.set(job, tick.payload, px=tick.expires_ms)
        pipe.zadd(self._base, {tick.job_id: tick.due_ms})
        if tick.entry is not None:
            pipe.hset(ticks, tick.entry, tick.due_ms)
            pipe.pexpire(ticks, _TICKS_KEPT_MS)
        await pipe.execute()
        return True

    async def keep_results(self, kept: Mapping[str, int | None]) -> None:
        """Let each job's result end after so many ms, or never (None)."""
        pipe = self._redis.pipeline(transaction=False)
        for job_id, keep_ms in kept.items():
            if keep_ms is None:
                pipe.persist(RESULT + job_id)
            else:
                pipe.pexpire(RESULT + job_id, keep_ms)
        await pipe.execute()

    async def queued(self) -> int:
        return await self._redis.zcard(self._base)

    async def say(self, key: str, text: str, keep_ms: int) -> None:
        await self._redis.psetex(key, keep_ms, text)
