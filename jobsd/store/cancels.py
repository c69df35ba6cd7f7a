"""Cancelling, between those who ask for it and the workers that do it: one question each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from jobsd.store.jobs import Jobs
from jobsd.store.keys import DEFAULT_SHARD, shard_key

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Cancels:
    """The cancels of one shard, on one Redis client."""

    def __init__(self, redis: Redis, shard: str = DEFAULT_SHARD) -> None:
        self._jobs = Jobs(redis, shard=shard)
        self._redis: Any = redis  # redis-py types its answers as "awaitable or not"
        self._key = f"{shard_key(shard)}:cancels"

    async def ask(self, queue: str, job_id: str, *, records: bool = True) -> str:
        """Let a job run no more; return "cancelled", how far it is while it runs, "ended" or "unknown"."""
        return await self._jobs.cancel(queue, job_id, records=records)

    async def state(self, job_id: str) -> str | None:
        """Return "requested", "delivered" or "resisting"; None if it does not run, or nobody asked."""
        found: bytes | None = await self._redis.hget(self._key, job_id)
        return None if found is None else found.decode().partition(" ")[0]

    async def asked(self) -> dict[str, tuple[str, str]]:
        """Return the running jobs that are to be cancelled: id -> (state, mark)."""
        found: dict[bytes, bytes] = await self._redis.hgetall(self._key)
        asked: dict[str, tuple[str, str]] = {}
        for job_id, value in found.items():
            state, _, mark = value.decode(errors="surrogateescape").partition(" ")
            asked[job_id.decode(errors="surrogateescape")] = state, mark
        return asked

    async def tell(self, job_id: str, mark: str, state: Literal["delivered", "resisting"]) -> bool:
        """Say how far it is; False if another run has the job meanwhile, or nobody asked."""
        return await self._jobs.told(job_id, mark, state)
