"""A shard with a job in every state, by the server's own clock, to be broken and mended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.admin.fsck import Fsck
from jobsd.store.jobs import Jobs
from jobsd.store.keys import FIRST_TIME, JOB, base_key
from tests.store.shop import KEEP_MS, Shop, a_limited_job, an_ending, archived, completed

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobsd.admin.report import Report
    from jobsd.records.pool import Pool
    from jobsd.store.jobs import Lease
    from tests.store.shop import Hand

BASE = base_key("default")
OTHER = base_key("other")
SHARD = "jobsd:{main}:"
DIGEST = "ab12"
WAITING = ["waits", "later", "retries", "parks", "lane-1", "lane-2", "unique", "open"]
RUNNING = ["runs", "holds"]


class Stock(Shop):
    """``waits`` is due, ``later`` delayed, ``retries`` failed once, ``parks`` is of an unknown task.

    ``holds`` runs under the limit key for which ``lane-1`` and ``lane-2`` wait; ``runs`` runs; ``done`` and ``dead``
    have ended.
    """

    worker: Hand
    leases: dict[str, Lease]

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.jobs = Jobs(redis)
        self.worker = self.hand("w1")

    async def open(self) -> Stock:
        await self.limit("default", ":::1::||")
        await self.worker.extend()
        await self.put("retries", "parks", "runs", "done", "dead")
        await self.put_limited("k=acme", "holds")
        self.leases = {lease.id: lease for lease in await self.worker.claim()}
        now = int((await self.redis.time())[0]) * 1000
        await self.worker.finish(
            an_ending(self.leases["retries"], "R", now + 3_600_000, '{"n":1,"f":1}'),
            an_ending(self.leases["parks"], "P", self.leases["parks"].due, "task:email:send"),
            an_ending(self.leases["done"], "C", KEEP_MS, result=_a_result(self.leases["done"])),
            archived(self.leases["dead"], '{"n":1}'),
        )
        await self.put_limited("k=acme", "lane-1", "lane-2")
        assert await self.worker.claim() == []
        await self.put("waits")
        await self.put("later", when="+3600000")
        await self.put("elsewhere", queue="other")
        await self.enqueue([a_limited_job("unique", f"u={DIGEST}/3600000", when="+1000")])
        await self.enqueue([a_limited_job("open", f"o={DIGEST}", when="+1000", rule="d=3600000")])
        return self

    async def fsck(self, *queues: str, mend: bool = False, pool: Pool | None = None) -> Report:
        return await Fsck(self.jobs, pool, lease_ms=2000).run(queues, mend=mend)

    async def payloads(self) -> dict[str, bytes]:
        """Return every payload that is stored live, by id."""
        keys = [key async for key in self.redis.scan_iter(match=f"{JOB}*")]
        return {key.decode().removeprefix(JOB): await self.redis.get(key) for key in keys}

    async def drain(self) -> set[str]:
        """End what runs, let time and the unknown task come, and run all that is left; return the ids that ran."""
        ran: set[str] = set()
        await self.jobs.release(["default", "other"], ["task:email:send"])
        for base in (BASE, OTHER):
            times = await self.redis.zrange(base, FIRST_TIME, "+inf", byscore=True)
            leases = dict(await self.redis.zrange(f"{base}:active", 0, -1, withscores=True))
            await self.redis.zadd(base, {job_id: 1 for job_id in times if job_id not in leases} or {"nobody": 1})
            await self.redis.zrem(base, "nobody")
        while True:
            await self.worker.finish(*(completed(lease) for lease in self.worker.held if lease.payload))
            leases = await self.worker.claim(20, default=20, other=20)
            if not leases:
                return ran
            ran |= {lease.id for lease in leases}


def _a_result(lease: Lease) -> bytes:
    assert lease.payload is not None
    return lease.payload[:-1] + b',"s":true,"r":1,"q":"default"}'


def told(report: Report) -> dict[str, list[str]]:
    """Return kind -> names of what was found."""
    return {found.kind: sorted(item["name"] for item in found.items) for found in report.problems}
