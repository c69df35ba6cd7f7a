"""What Redis knows of the outbox: which of its jobs were pushed, and in which life of the server."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic_core import to_json

from jobsd.store.connection import REFUSED
from jobsd.store.keys import DEFAULT_SHARD, base_key, shard_key
from jobsd.store.scripts import Scripts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from jobsd.store.jobs import NewJob

MOST_PUSHED = 500
STORED, THERE, ENDED, ID_TAKEN, KEY_TAKEN, UNSERVED = "s", "t", "e", "w", "k", "u"
"""The letters of push.lua."""

_REMEMBERED_MS = 60_000  # three times as long as a push may take from its first question
_NEXT_LOOK_MS = 3_600_000


def incarnation_in(job: NewJob) -> str:
    """Return what tells this job from others that have had its id: its payload begins with it."""
    return job.payload[6:18].decode()


def as_rows(jobs: Sequence[NewJob]) -> str:
    """Return the jobs as jobsd.put_in_outbox reads them."""
    keys = ("id", "i", "q", "w", "p")
    rows = [(job.id, incarnation_in(job), job.queue, job.when.partition(" ")[0], job.payload.decode()) for job in jobs]
    return to_json([dict(zip(keys, row, strict=True)) for row in rows]).decode()


class Life(NamedTuple):
    """One life of Redis: it ends with the server's process, or when the server has lost everything.

    ``asked_at`` is when it was asked for, in ms by the server's clock.
    """

    server: str
    epoch: str
    asked_at: int

    @property
    def name(self) -> str:
        return f"{self.server} {self.epoch}"


class PushedJob(NamedTuple):
    """``at_once``: due when it was enqueued; ``again``: an earlier life of Redis had it."""

    queue: str
    id: str
    due_ms: int
    payload: str
    at_once: bool
    again: bool


class OverLifeError(Exception):
    """Redis has lost everything since the life was asked for, or that was too long ago. Nothing was stored."""


class PushedJobs:
    """The jobs of the outbox in one shard: pushed, remembered, forgotten."""

    def __init__(self, redis: Redis, *, shard: str = DEFAULT_SHARD) -> None:
        self._redis: Any = redis
        self._shard = shard
        self._shard_key = shard_key(shard)
        self._members = f"{self._shard_key}:outbox"
        self._scripts = Scripts(redis)

    async def server(self) -> str:
        """Return what names the server's process."""
        return (await self._redis.info("server"))["run_id"]

    async def life(self, server: str) -> Life:
        """Return the life that this is. Where ``server`` is an earlier one, what is pushed is looked at once more."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.time()
        pipe.set(f"{self._shard_key}:epoch", secrets.token_hex(6), nx=True)
        pipe.get(f"{self._shard_key}:epoch")
        (seconds, micros), _, epoch = await pipe.execute()
        return Life(server, epoch.decode(), int(seconds) * 1000 + int(micros) // 1000)

    async def push(self, life: Life, jobs: Sequence[PushedJob]) -> str:
        """Store the jobs, at most MOST_PUSHED, that Redis does not have; return push.lua's letter for each.

        Raises OverLifeError.
        """
        places: dict[str, int] = {}
        args: list[Any] = [life.epoch, life.asked_at]
        for job in jobs:
            flags = ("n" if job.at_once else "") + ("a" if job.again else "")
            args += places.setdefault(job.queue, len(places) + 1), job.id, job.due_ms, flags, job.payload
        keys = [self._shard_key, *(base_key(queue, self._shard) for queue in places)]
        try:
            return (await self._scripts.call("push", keys, args)).decode()
        except REFUSED as error:
            if str(error).startswith(("EMPTIED", "LATE")):
                raise OverLifeError(str(error)) from None
            raise

    async def to_look_at(self, later_ms: int = 0) -> tuple[int, list[tuple[str, str]]]:
        """Return the time, and (job id, incarnation) of jobs whose row may be gone; forget those that went long ago."""
        seconds, micros = await self._redis.time()
        now = int(seconds) * 1000 + int(micros) // 1000 + later_ms
        pipe = self._redis.pipeline(transaction=False)
        pipe.zremrangebyscore(self._members, f"({-now}", "(0")
        pipe.zrange(self._members, 0, now, byscore=True, offset=0, num=MOST_PUSHED)
        _, members = await pipe.execute()
        if strange := [member for member in cast("list[bytes]", members) if b" " not in member]:
            await self._redis.zrem(self._members, *strange)
        parts = (member.decode(errors="surrogateescape").rpartition(" ") for member in members if b" " in member)
        return now, [(job_id, incarnation) for job_id, _, incarnation in parts]

    async def looked_at(self, now: int, here: Sequence[tuple[str, str]], gone: Sequence[tuple[str, str]]) -> None:
        """Note which of them have a row. One that is gone is remembered a while: a late push must find it."""
        scores = {f"{job_id} {incarnation}": now + _NEXT_LOOK_MS for job_id, incarnation in here}
        scores |= {f"{job_id} {incarnation}": -(now + _REMEMBERED_MS) for job_id, incarnation in gone}
        if scores:
            await self._redis.zadd(self._members, scores, xx=True)
