"""A worker that does what a test tells it: it claims, hears of cancels, and ends jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jobsd.store.codec import decode_payload, encode_result
from jobsd.store.jobs import Ending, Jobs, Quota

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobsd.store.jobs import Lease

KEEP_MS = 60_000


class AWorker:
    def __init__(self, redis: Redis) -> None:
        self.jobs = Jobs(redis)
        self._claims = 0
        self._batches = 0

    async def claim(self, queue: str = "default") -> Lease:
        self._claims += 1
        claimed = await self.jobs.claim(
            "tester", self._claims, [Quota(queue, 1)], slots=1, lease_ms=60_000, max_losses=3, records=False
        )
        return claimed.leases[0]

    async def finish(self, lease: Lease, move: str, at: int, data: bytes = b"", result: bytes = b"") -> str:
        self._batches += 1
        return await self.jobs.finish(
            "tester",
            self._batches,
            [Ending(lease, move, at, data, result, b"")],
            keep_completed_count=10,
            keep_archived_ms=KEEP_MS,
            keep_archived_count=10,
        )

    async def complete(self, lease: Lease, value: Any = None) -> None:
        assert await self.finish(lease, "C", KEEP_MS, result=a_result(lease, value)) == "a"

    async def archive(self, lease: Lease, outcome: str, error_type: str, message: str, *, keeps: bool = True) -> None:
        info = {"n": 1, "e": [error_type, message], "outcome": outcome}
        result = a_result(lease, {"type": error_type, "message": message}, success=False) if keeps else b""
        assert await self.finish(lease, "A", KEEP_MS, json.dumps(info).encode(), result) == "a"


def a_result(lease: Lease, value: Any, *, success: bool = True) -> bytes:
    return encode_result(
        decode_payload(lease.payload),
        attempt=1,
        success=success,
        value=value,
        started_at=1,
        finished_at=2,
        queue="default",
        job_id=lease.id,
    )
