"""A walk through all keys of a shard, in small steps: which jobs, lanes and other keys there are to be looked at.

What it finds is only a list of names. Jobs move meanwhile, so that nothing is concluded from where one was seen; the
scripts look at each again (examination.py). A key that is not ours, on a server that others use as well, is
passed over.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from jobsd.clock import monotonic
from jobsd.store.keys import IN_PROGRESS, JOB, RESULT, base_key, shard_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from redis.asyncio import Redis

_STEP = 500
_OF_QUEUE = {
    "active": "zset",
    "retry": "zset",
    "turns": "zset",
    "closed": "zset",
    "held": "hash",
    "starts": "list",
    "completed": "zset",
    "archived": "zset",
    "side": "hash",
    "stats": "hash",
    "wake": "list",
    "cron": "hash",
}
_OF_QUEUE_BY_NAME = {"parked": "zset", "lane": "zset", "behind": "zset", "starts": "list", "dead": "hash"}
_OF_SHARD = {
    "state": "hash",
    "queues": "set",
    "epoch": "string",
    "workers": "zset",
    "held": "hash",
    "cancels": "hash",
    "outbox": "zset",
    "schedules": "hash",
    "declared": "zset",
    "declaring": "zset",
    "judges": "zset",
    "spare": "hash",
    "records": "stream",
}
_OF_SHARD_BY_NAME = {
    "worker": "hash",
    "sender": "string",
    "starts": "list",
    "unique": "string",
    "throttle": "string",
    "open": "hash",
    "cancel": "list",
    "unblock": "list",
    "schedule": "list",
    "spared": "list",
}
_WITH_JOBS = ("active", "retry", "completed", "archived", "side", "parked", "lane", "dead")
_OWNED = {"unique": "unique", "open": "open", "worker": "worker"}


class Place(NamedTuple):
    """A key in which jobs stand; ``told`` is what examine.lua is to know of them: 'lane:k=acme', or ''."""

    key: bytes
    kind: str
    base: str
    told: str = ""


@dataclass
class Census:
    """``bases`` are the queues of the shard, ``listed`` those in <shard>:queues, ``others`` those of other shards."""

    bases: list[str]
    listed: set[str]
    others: list[str]
    places: list[Place] = field(default_factory=list[Place])
    dead: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    lanes: dict[str, set[tuple[bytes, bytes]]] = field(default_factory=dict[str, set[tuple[bytes, bytes]]])
    """Of each queue (lane, limit behind which it was seen or b'')."""
    behind: list[tuple[str, bytes, bytes]] = field(default_factory=list[tuple[str, bytes, bytes]])
    keys: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    """Keys with an owner, or an end: their kind in examine_keys.lua."""
    unknown: list[bytes] = field(default_factory=list[bytes])
    wrong: list[tuple[bytes, str, str]] = field(default_factory=list[tuple[bytes, str, str]])
    """Keys that hold something else: the type that they are to be, and that they are."""

    @property
    def reasons(self) -> list[bytes]:
        found = {place.told.partition(":")[2] for place in self.places if place.kind == "parked"}
        return [reason.encode(errors="surrogateescape") for reason in sorted(found)]


class Walk:
    """Reads of one shard. After each step it rests for as long as the step has taken."""

    def __init__(self, redis: Redis, shard: str) -> None:
        self._redis: Any = redis  # redis-py types its answers as "awaitable or not"
        self._shard = shard
        self._prefix = shard_key(shard)

    async def census(self) -> Census:
        """Return what there is, jobs left out."""
        bases = await self._listed(f"{self._prefix}:queues".encode())
        ours = [key async for batch in self._scan("SCAN", None) for key in batch if self._may_be_ours(key, bases)]
        listed = await self._listed(f"{self._prefix}:queues".encode())  # some may be new
        census = Census([], listed, [])
        shards = {key for key in ours if key.startswith(b"jobsd:{") and key.endswith(b"}::queues")}
        for key in sorted(shards - {f"{self._prefix}:queues".encode()}):
            census.others += sorted(await self._listed(key))
        census.bases = sorted(listed | self._unlisted(ours))
        for start in range(0, len(ours), _STEP):
            await self._sort(census, ours[start : start + _STEP])
        for base, key, limit in census.behind:
            async for lanes in self._scan("ZSCAN", key):
                census.lanes.setdefault(base, set()).update((lane, limit) for lane in lanes)
        return census

    async def _listed(self, key: bytes) -> set[str]:
        return {base.decode(errors="surrogateescape") for base in await self._redis.smembers(key)}

    async def ids_in(self, place: Place) -> AsyncIterator[list[bytes]]:
        """Yield the ids of the jobs that stand in a place; of one that stands there all the time, at least once."""
        command = "HSCAN" if place.kind in {"side", "cancels"} else "ZSCAN"
        async for ids in self._scan(command, place.key):
            yield ids

    async def ids_with_keys(self, census: Census) -> AsyncIterator[list[bytes]]:
        """Yield the ids of which there is a payload, a mark or a result, and no place where that belongs."""
        for prefix, companion in ((JOB, ""), (IN_PROGRESS, ":active"), (RESULT, ":completed")):
            wrong = {key for key, *_ in census.wrong}
            lines = [base + companion for base in census.bases if (base + companion).encode() not in wrong]
            async for keys in self._scan("SCAN", None, match=f"{prefix}*"):
                ids = [key[len(prefix) :] for key in keys]
                pipe = self._redis.pipeline(transaction=False)
                for line in lines:
                    pipe.zmscore(line, ids)
                scores = await pipe.execute()
                if left := [job_id for n, job_id in enumerate(ids) if all(found[n] is None for found in scores)]:
                    yield left

    async def _scan(self, command: str, key: bytes | None, match: str | None = None) -> AsyncIterator[list[bytes]]:
        cursor = b"0"
        while True:
            began = monotonic()
            arguments: list[Any] = [cursor, *(["MATCH", match] if match else []), "COUNT", _STEP]
            if key is not None:
                arguments.insert(0, key)
            page: Any = await self._redis.execute_command(command, *arguments)
            cursor, found = _page(page)
            if found:
                yield found
            if cursor == b"0":
                return
            await asyncio.sleep(monotonic() - began)

    def _may_be_ours(self, key: bytes, bases: set[str]) -> bool:
        if key.startswith(b"jobsd:{"):
            return True
        if key.startswith((JOB.encode(), IN_PROGRESS.encode(), RESULT.encode())):
            return False  # of a job: there are many, and they are walked through by themselves
        return any(key.startswith(base.encode(errors="surrogateescape")) for base in bases)

    def _unlisted(self, keys: Sequence[bytes]) -> set[str]:
        """Queues that have jobs, and are not in the list of those that were ever used."""
        found: set[str] = set()
        for key in keys:
            rest = _after(key, self._prefix)
            if rest is None or rest.startswith(":"):
                continue
            name, _, companion = rest.partition(":")
            if name and (not companion or companion.partition(":")[0] in _WITH_JOBS):
                found.add(base_key(name, self._shard))
        return found

    async def _sort(self, census: Census, keys: Sequence[bytes]) -> None:
        known = [(key, *found) for key in keys if (found := self._known(census, key)) is not None]
        pipe = self._redis.pipeline(transaction=False)
        for key, *_ in known:
            pipe.type(key)
        for (key, base, companion, wanted), kind in zip(known, cast("list[bytes]", await pipe.execute()), strict=True):
            if wanted is None:
                census.unknown.append(key)
            elif kind.decode() not in {wanted, "none"}:
                census.wrong.append((key, wanted, kind.decode()))
            elif base is None:
                self._of_shard(census, key, companion)
            else:
                _of_queue(census, key, base, companion)

    def _known(self, census: Census, key: bytes) -> tuple[str | None, str, str | None] | None:
        """Return base, rest and type of a key of ours; no base: of the shard; no type: nobody has such a key."""
        rest = _after(key, f"{self._prefix}:")
        if rest is not None:
            word, _, name = rest.partition(":")
            return None, rest, (_OF_SHARD_BY_NAME if name else _OF_SHARD).get(word)
        text = key.decode(errors="surrogateescape")
        bases = [base for base in census.bases if text == base or text.startswith(f"{base}:")]
        if not bases:
            return None if _after(key, self._prefix) is None else ("", "", None)
        base = max(bases, key=len)
        rest = text[len(base) + 1 :]
        if not rest:
            return base, "", "zset"
        word, _, name = rest.partition(":")
        wanted = (_OF_QUEUE_BY_NAME if name else _OF_QUEUE).get(word)
        # Beside an arq queue others may have keys, such as arq's own health check.
        return None if wanted is None and not text.startswith(self._prefix) else (base, rest, wanted)

    def _of_shard(self, census: Census, key: bytes, rest: str) -> None:
        word, _, name = rest.partition(":")
        if name:
            census.keys.append((_OWNED.get(word, "ends"), key))
        elif word == "cancels":
            census.places.append(Place(key, word, ""))


def _of_queue(census: Census, key: bytes, base: str, rest: str) -> None:
    word, _, name = rest.partition(":")
    raw_name = name.encode(errors="surrogateescape")
    match word:
        case "" | "active" | "retry" | "completed" | "archived" | "side":
            census.places.append(Place(key, word, base))
        case "parked" | "lane":
            census.places.append(Place(key, word, base, rest))
            if word == "lane":
                census.lanes.setdefault(base, set()).add((raw_name, b""))
        case "dead":
            census.dead.setdefault(base, []).append(raw_name)
        case "turns" | "closed":
            census.behind.append((base, key, b""))
        case "behind":
            census.behind.append((base, key, raw_name))
        case "starts":
            census.keys.append(("ends", key))
        case _:
            pass


def _after(key: bytes, prefix: str) -> str | None:
    text = key.decode(errors="surrogateescape")
    return text[len(prefix) :] if text.startswith(prefix) else None


def _page(page: Any) -> tuple[bytes, list[bytes]]:
    """Return cursor and names of an answer of SCAN, ZSCAN (with scores) or HSCAN (with values)."""
    cursor, found = page
    if isinstance(found, dict):
        names = list(cast("dict[bytes, bytes]", found))
    elif found and isinstance(found[0], tuple):
        names = [name for name, _ in found]
    else:
        names = list(cast("list[bytes]", found))
    return str(int(cursor)).encode(), names
