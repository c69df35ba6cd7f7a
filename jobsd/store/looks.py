"""Reads of what the scripts write: where a job is, how much a queue holds. Nothing here changes anything."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from redis.exceptions import NoPermissionError

from jobsd.job import JobState
from jobsd.store.backlog import EVERY_NODE, Backlog
from jobsd.store.keys import (
    DEFAULT_SHARD,
    FIRST_TIME,
    IN_PROGRESS,
    JOB,
    LANED,
    NO_CHILD,
    PARKED,
    RESULT,
    base_key,
    queue_of,
    records_key,
    shard_key,
)
from jobsd.store.record_stream import RecordStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis


_MARK_PARTS = 6  # keys.py: worker:claim:index:started_at:attempt:due, and what limits the job
_LONGEST_LANES = 100
_LIMITED = re.compile(rb'\{"i":"[^"]{12}","l":"([^"]*)"')


def noted(side: bytes | None) -> dict[str, Any]:
    """Return what is noted of a job beside its payload (keys.py lists it); unreadable is as good as none."""
    try:
        found: Any = json.loads(side) if side else {}
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def limits_of(payload: bytes | None) -> str:
    """Return the limits text of a job (lanes.lua)."""
    found = _LIMITED.match(payload or b"")
    return found[1].decode() if found else ""


def lane_of(payload: bytes | None) -> str:
    """Return the lane in which a job waits when it is due; '' for none."""
    return ",".join(part for part in limits_of(payload).split(",") if part.startswith(("k=", "r=")))


class Counts(NamedTuple):
    """``due`` and ``future`` split what waits at now, parked jobs left out; ``oldest`` is the least due time."""

    due: int
    future: int
    active: int
    retry: int
    parked: int
    archived: int
    completed: int
    oldest: int | None
    processed: int
    failed: int
    paused: bool


class Looks:
    """Questions to one shard, on one Redis client."""

    def __init__(self, redis: Redis, *, shard: str = DEFAULT_SHARD) -> None:
        self._redis: Any = redis  # redis-py types its answers as "awaitable or not"
        self._shard = shard
        self._shard_key = shard_key(shard)

    async def queues(self) -> list[str]:
        """Return the names of all queues that were ever used in this shard."""
        return sorted(queue_of(base.decode()) for base in await self._redis.smembers(f"{self._shard_key}:queues"))

    async def payload(self, job_id: str) -> bytes | None:
        return await self._redis.get(JOB + job_id)

    async def result(self, job_id: str) -> bytes | None:
        return await self._redis.get(RESULT + job_id)

    async def side(self, queue: str, job_id: str) -> dict[str, Any]:
        """Return what is noted of a live job beside its payload; keys.py lists it."""
        return noted(await self._redis.hget(f"{self._base(queue)}:side", job_id))

    async def waits_for_child(self, queue: str, job_id: str) -> bool:
        """Say whether a parked job waits for a child process; else it waits for a daemon that knows its task."""
        return await self._redis.zscore(f"{self._base(queue)}:parked:{NO_CHILD}", job_id) is not None

    async def due(self, queue: str, job_id: str) -> int | None:
        """Return the epoch ms at which a waiting job may run by its own time; None for a parked one."""
        base = self._base(queue)
        score = await self._redis.zscore(base, job_id)
        if score == LANED and (lane := lane_of(await self.payload(job_id))):
            score = await self._redis.zscore(f"{base}:lane:{lane}", job_id)
        return None if score is None or score < FIRST_TIME else int(score)

    async def started(self, job_id: str) -> tuple[int, int] | None:
        """Return when an active job's run began, in epoch ms, and its number."""
        mark: bytes = await self._redis.get(IN_PROGRESS + job_id) or b""
        parts = mark.decode().split(":", _MARK_PARTS)
        return (int(parts[3]), int(parts[4])) if len(parts) >= _MARK_PARTS else None

    async def served(self) -> set[str]:
        """Return the queues that live workers announce: one that was not heard of for a lease is dead."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.time()
        pipe.zrange(f"{self._shard_key}:workers", 0, -1, withscores=True)
        (seconds, micros), workers = await pipe.execute()
        now = int(seconds) * 1000 + int(micros) // 1000
        pipe = self._redis.pipeline(transaction=False)
        for worker, _ in workers:
            pipe.hmget(f"{self._shard_key}:worker:{worker.decode()}", "queues", "lease")
        facts: Any = await pipe.execute() if workers else []
        alive = [
            queues for (_, beat), (queues, lease) in zip(workers, facts, strict=True) if beat + int(lease or 0) > now
        ]
        return {queue for queues in alive for queue in (queues or b"").decode().split()}

    async def dead(self, queue: str, job_id: str) -> tuple[bytes | None, bytes | None]:
        """Return payload and info of an archived job."""
        payload, info = await self._redis.hmget(f"{self._base(queue)}:dead:{job_id}", "payload", "info")
        return payload, info

    async def state(self, queue: str, job_id: str, *, now: int) -> JobState:
        """Return where the job is. ``now`` (epoch ms) tells scheduled from pending."""
        base = self._base(queue)
        pipe = self._redis.pipeline(transaction=True)
        for key in (base, f"{base}:active", f"{base}:retry", f"{base}:archived", f"{base}:completed"):
            pipe.zscore(key, job_id)
        score, active, retry, archived, completed = await pipe.execute()
        if active is not None:
            return JobState.ACTIVE
        if score is not None:
            if score <= PARKED:
                return JobState.PARKED
            if score <= now:
                return JobState.PENDING
            return JobState.SCHEDULED if retry is None else JobState.RETRY
        if completed is not None:
            return JobState.COMPLETED
        return JobState.UNKNOWN if archived is None else JobState.ARCHIVED

    async def counts(self, queue: str, *, now: int) -> Counts:
        base = self._base(queue)
        pipe = self._redis.pipeline(transaction=True)
        pipe.zcount(base, LANED, now)
        pipe.zcount(base, f"({now}", "+inf")
        pipe.zcount(base, "-inf", PARKED)
        for name in ("active", "retry", "archived", "completed"):
            pipe.zcard(f"{base}:{name}")
        pipe.zrange(base, FIRST_TIME, "+inf", byscore=True, offset=0, num=1, withscores=True)
        pipe.hmget(f"{base}:stats", "processed", "failed")
        pipe.hexists(f"{self._shard_key}:state", f"paused:{base}")
        due, future, parked, active, retry, archived, completed, head, stats, paused = await pipe.execute()
        return Counts(
            due=due,
            future=future,
            active=active,
            retry=retry,
            parked=parked,
            archived=archived,
            completed=completed,
            oldest=int(head[0][1]) if head else None,
            processed=int(stats[0] or 0),
            failed=int(stats[1] or 0),
            paused=bool(paused),
        )

    async def members(self, queue: str, state: JobState, *, now: int, limit: int) -> list[tuple[str, int]]:
        """Return ids in ``state`` with their score: waiting ones by due time, ended ones the latest first."""
        base = self._base(queue)
        match state:
            case JobState.PENDING:
                found = await self._redis.zrange(
                    base, FIRST_TIME, now, byscore=True, offset=0, num=limit, withscores=True
                )
                if len(found) < limit:
                    found += await self._in_lanes(base, limit - len(found))
            case JobState.SCHEDULED:
                found = await self._scheduled(base, now, limit)
            case JobState.PARKED:
                found = await self._redis.zrange(base, "-inf", PARKED, byscore=True, offset=0, num=limit)
                return [(job_id.decode(), now) for job_id in found]
            case JobState.COMPLETED | JobState.ARCHIVED:
                found = await self._redis.zrange(f"{base}:{state}", 0, limit - 1, desc=True, withscores=True)
            case _:
                found = await self._redis.zrange(f"{base}:{state}", 0, limit - 1, withscores=True)
        return [(job_id.decode(), int(score)) for job_id, score in found]

    async def _scheduled(self, base: str, now: int, limit: int) -> list[tuple[bytes, float]]:
        """What is due later, less what runs and what waits for a retry: they stand in the same zset."""
        found: list[tuple[bytes, float]] = []
        offset = 0
        while len(found) < limit:
            page = await self._redis.zrange(
                base, f"({now}", "+inf", byscore=True, offset=offset, num=500, withscores=True
            )
            if not page:
                break
            offset += len(page)
            ids = [job_id for job_id, _ in page]
            active = await self._redis.zmscore(f"{base}:active", ids)
            retry = await self._redis.zmscore(f"{base}:retry", ids)
            found += [pair for pair, a, r in zip(page, active, retry, strict=True) if a is None and r is None]
        return found[:limit]

    async def _in_lanes(self, base: str, limit: int) -> list[tuple[bytes, float]]:
        """What is due and waits for its turn or its limit: the lanes in their order, those that are closed last."""
        found: list[tuple[bytes, float]] = []
        for line in ("turns", "closed"):
            for lane in await self._redis.zrange(f"{base}:{line}", 0, _LONGEST_LANES - 1):
                if len(found) < limit:
                    lane_key = f"{base}:lane:{lane.decode()}"
                    found += await self._redis.zrange(lane_key, 0, limit - len(found) - 1, withscores=True)
        return found

    async def limits(self, names: Sequence[str]) -> dict[str, str]:
        """Return the limits texts (limits.lua) in effect, of queues and of resources ``r=<name>``."""
        fields = [f"limits:{name if name.startswith('r=') else self._base(name)}" for name in names]
        if not fields:
            return {}
        found: list[bytes | None] = await self._redis.hmget(f"{self._shard_key}:state", fields)
        return {name: (text or b"").decode() for name, text in zip(names, found, strict=True)}

    async def backlog(self) -> Backlog:
        """Return how much waits for a recorder."""
        stream = RecordStream(self._redis, "", shard=self._shard)  # it asks, and reads nothing
        return Backlog(
            entries=await stream.length(),
            bytes=await self.backlog_bytes(),
            oldest_age_ms=await stream.oldest_age_ms(),
            maxmemory=await self.maxmemory(),
        )

    async def backlog_bytes(self) -> int:
        """Return how much memory the records take that wait for a recorder."""
        return await self._redis.memory_usage(records_key(self._shard), samples=EVERY_NODE) or 0

    async def maxmemory(self) -> int:
        """Return the server's own limit in bytes, 0 for none, and where this user may not ask."""
        try:
            return int((await self._redis.info("memory"))["maxmemory"])
        except NoPermissionError:
            return 0

    def _base(self, queue: str) -> str:
        return base_key(queue, self._shard)
