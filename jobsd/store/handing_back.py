"""An arq queue goes back to arq's own workers: its jobs wait as they know it, and what jobsd kept beside it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import WatchError

from jobsd.errors import ReleaseError
from jobsd.store.census import Walk
from jobsd.store.connection import REFUSED
from jobsd.store.keys import queue_of, shard_key
from jobsd.store.scripts import Scripts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from jobsd.store.census import Census, Place

_MOST = 200
_COMPANIONS = ("active", "retry", "side", "turns", "closed", "held", "starts", "stats", "completed", "wake", "cron")
_LINES = ("parked:", "lane:")
_IN_STATE = ("limits:", "limits-config:", "limits-set:", "watch:", "paused:")


class HandedBack(NamedTuple):
    """``json`` of the ``jobs`` that wait have payloads in JSON, ``from_outbox`` of those came from the outbox."""

    jobs: int
    json: int
    from_outbox: int
    archived: list[str]
    was_paused: bool
    limits: bool


class HandingBack:
    """For one queue, of which ``base`` is the key. It may be begun again where it was cut off."""

    def __init__(self, redis: Redis, shard: str, base: str) -> None:
        self._redis: Any = redis  # redis-py types its answers as "awaitable or not"
        self._shard = shard
        self._prefix = shard_key(shard)
        self._base = base
        self._queue = queue_of(base)
        self._walk = Walk(redis, shard)
        self._scripts = Scripts(redis)

    async def run(self) -> HandedBack:
        """Hand the queue back. Raises ReleaseError while a worker of jobsd serves it, or has jobs of it."""
        await self._jobs("", [])  # may it be?
        census = await self._walk.census()
        places = [place for place in census.places if place.base == self._base]
        for place in sorted(places, key=lambda place: not place.told):  # the lines first: there are the due times
            if place.told or place.kind == "completed":
                await self._all_in(place, place.told or place.kind)
        letters = ""
        for place in places:
            if not place.kind:
                letters += await self._all_in(place, "")
        archived = [name.decode(errors="surrogateescape") for name in census.dead.get(self._base, [])]
        told = await self._forget(census, keep=bool(archived))
        waiting = letters.replace("-", "")
        return HandedBack(
            len(waiting),
            len(waiting.replace("p", "")),
            waiting.count("o"),
            archived,
            was_paused=told[0],
            limits=told[1],
        )

    async def _all_in(self, place: Place, line: str) -> str:
        # Read to its end before it is emptied: an id that comes twice is handed back twice, with the same end.
        ids = [job_id async for part in self._walk.ids_in(place) for job_id in part]
        return await self._jobs(line, list(dict.fromkeys(ids)))

    async def _jobs(self, line: str, ids: Sequence[bytes]) -> str:
        letters = ""
        for start in range(0, max(1, len(ids)), _MOST):
            args = [self._queue, line, *ids[start : start + _MOST]]
            try:
                letters += (await self._scripts.call("hand_back", [self._prefix, self._base], args)).decode()
            except REFUSED as error:
                word, _, what = str(error).partition(" ")
                if word not in {"SERVED", "LEASED"}:
                    raise
                cause = f"worker {what} serves it; stop it first" if word == "SERVED" else f"{what} jobs of it run"
                raise ReleaseError(queue=self._queue, cause=cause) from None
        return letters

    async def _forget(self, census: Census, *, keep: bool) -> tuple[bool, bool]:
        """Remove what jobsd has beside the queue, but its archive; return whether it was paused, and limited."""
        prefixes = tuple(f"{self._base}:{line}".encode() for line in _LINES)
        keys = {place.key for place in census.places if place.key.startswith(prefixes)}
        keys |= {key for base, key, _ in census.behind if base == self._base}
        keys |= {
            key for kind, key in census.keys if kind == "ends" and key.startswith(f"{self._base}:starts:".encode())
        }
        keys |= {key for kind, key in census.keys if kind == "open" and await self._is_here(key)}
        async with self._redis.pipeline(transaction=True) as pipe:
            await pipe.watch(f"{self._base}:active")  # a worker may have come meanwhile
            if leases := await pipe.zcard(f"{self._base}:active"):
                raise ReleaseError(queue=self._queue, cause=f"{leases} jobs of it run")
            pipe.multi()
            pipe.hmget(f"{self._prefix}:state", f"paused:{self._base}", f"limits:{self._base}")
            pipe.hdel(f"{self._prefix}:state", *(f"{field}{self._base}" for field in _IN_STATE))
            pipe.delete(*keys, *(f"{self._base}:{name}" for name in _COMPANIONS))
            if not keep:
                pipe.hdel(f"{self._prefix}:state", f"keep:{self._base}")
                pipe.srem(f"{self._prefix}:queues", self._base)
            try:
                (paused, limits), *_ = await pipe.execute()
            except WatchError:
                raise ReleaseError(queue=self._queue, cause="a worker has begun with it") from None
        return paused is not None, bool(limits)

    async def _is_here(self, open_job: bytes) -> bool:
        return await self._redis.hget(open_job, "base") == self._base.encode()
