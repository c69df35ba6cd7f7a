"""A shop to try the scripts in: one shard, a clock that stands until it is moved, and hands that work.

The clock is a variant of ``clock.lua`` that reads a key. So a test's instants are exact, and a lease runs
out without waiting for it; only what a foreign client sets with a TTL goes by the server's own time.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jobsd.store.codec import encode_payload
from jobsd.store.ids import incarnation_of, new_id
from jobsd.store.jobs import Claimed, Ending, Holder, Jobs, Lease, NewJob, Quota
from jobsd.store.scripts import source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis.asyncio import Redis

START = 1_800_000_000_000
LEASE_MS = 15_000
MAX_LOSSES = 3
KEEP_MS = 3_600_000
ARCHIVE_MS = 90 * 24 * 3_600_000
SHARD = "jobsd:{main}:"

_CLOCK_KEY = "test:clock"
_LUA = files("jobsd.store") / "lua"
_CLOCK = (_LUA / "include" / "clock.lua").read_text(encoding="utf-8")
_STILL = f"local function clock() return tonumber(redis.call('GET', '{_CLOCK_KEY}')) end\n"


def variants() -> dict[str, str]:
    """Return every script's text under the clock of the shop."""
    names = [file.name.removesuffix(".lua") for file in _LUA.iterdir() if file.name.endswith(".lua")]
    return {name: source(name).replace(_CLOCK, _STILL) for name in names}


def a_payload(task: str = "email:send", *args: Any, **limited: Any) -> bytes:
    """Return a payload; ``limited`` are codec's ``limits`` and ``args_last``."""
    facts = {"incarnation": incarnation_of(new_id()), "enqueued_at": START, "options": {}}
    return encode_payload(task=task, args=args, kwargs={}, **facts, **limited)


def a_job(job_id: str = "job-1", *, queue: str = "default", when: str = "", payload: bytes | None = None) -> NewJob:
    return NewJob(queue, job_id, when, a_payload() if payload is None else payload)


def a_limited_job(
    job_id: str, limits: str, *, queue: str = "default", when: str = "", rule: str = "", args: Sequence[Any] = ()
) -> NewJob:
    """Return a job with a limits text, or with a rule; see taking.lua."""
    payload = a_payload("email:send", *args, limits=limits, args_last=rule.startswith("a="))
    return NewJob(queue, job_id, f"{when} {rule}", payload)


def a_result(job: NewJob | Lease) -> bytes:
    """Return a result as finish.lua is handed it: it begins with the job's incarnation."""
    assert job.payload is not None
    return job.payload[:19] + b',"s":true,"r":1}'


def an_ending(
    lease: Lease, move: str, at: int = 0, data: str | bytes = "", *, result: bytes = b"", record: bytes = b""
) -> Ending:
    return Ending(lease, move, at, data, result, record)


def completed(lease: Lease, *, keep_ms: int = KEEP_MS, record: bytes = b"") -> Ending:
    return an_ending(lease, "C", keep_ms, result=a_result(lease), record=record)


def archived(lease: Lease, info: str = "{}", *, keep_ms: int = KEEP_MS) -> Ending:
    return an_ending(lease, "A", keep_ms, info, result=a_result(lease))


def ids(leases: Iterable[Lease]) -> list[str]:
    return [lease.id for lease in leases]


class Shop:
    """``now`` is the scripts' time, epoch ms. Somebody beats whenever ``advance`` moves it: see ``jump``."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.jobs = Jobs(redis, variants=variants())
        self.now = START - 2 * LEASE_MS
        self._bystander = self.hand("bystander")
        self._calls = 0

    async def open(self) -> Shop:
        """Let the amnesty of a fresh server pass."""
        await self.jump(0)
        await self.advance(2 * LEASE_MS)
        return self

    def hand(self, name: str) -> Hand:
        return Hand(self, name)

    async def jump(self, ms: int) -> None:
        """Move the clock while nobody calls: after half a lease of that everybody counts as silent."""
        self.now += ms
        await self.redis.set(_CLOCK_KEY, self.now)

    async def advance(self, ms: int, *alive: Hand) -> None:
        """Move the clock while a bystander and those ``alive`` beat, three times a lease."""
        while ms > 0:
            step = min(ms, LEASE_MS // 3)
            await self.jump(step)
            for hand in (self._bystander, *alive):
                await hand.extend()
            ms -= step

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[bool | Holder]:
        """Enqueue as the next call of one sender."""
        self._calls += 1
        return await self.enqueue_again(jobs)

    async def enqueue_again(self, jobs: Sequence[NewJob], number: int | None = None) -> list[bool | Holder]:
        """Send the last call once more, or one as ``number``."""
        return await self.jobs.enqueue("client", self._calls if number is None else number, jobs)

    async def put(self, *job_ids: str, queue: str = "default", when: str = "") -> list[NewJob]:
        """Enqueue new jobs; all of them are stored."""
        jobs = [a_job(job_id, queue=queue, when=when) for job_id in job_ids]
        assert await self.enqueue(jobs) == [True] * len(jobs)
        return jobs

    async def put_limited(self, limits: str, *job_ids: str, queue: str = "default", when: str = "") -> list[NewJob]:
        """Enqueue new jobs that share a limits text; all of them are stored."""
        jobs = [a_limited_job(job_id, limits, queue=queue, when=when) for job_id in job_ids]
        assert await self.enqueue(jobs) == [True] * len(jobs)
        return jobs

    async def limit(self, name: str, text: str) -> None:
        """Limit a queue, or the resource ``r=<name>``, at run time."""
        await self.jobs.limit(name, "set", text)

    async def recover(self, *queues: str, records: bool = True) -> list[str]:
        return await self.jobs.recover(queues or ["default"], lease_ms=LEASE_MS, max_losses=MAX_LOSSES, records=records)

    async def pause(self, queue: str) -> None:
        await self.redis.hset(f"{SHARD}:state", f"paused:{self.jobs.base(queue)}", "1")

    async def resume(self, queue: str) -> None:
        await self.redis.hdel(f"{SHARD}:state", f"paused:{self.jobs.base(queue)}")

    async def tokens(self, queue: str = "default") -> int:
        """Return how many wake tokens lie there, and take them."""
        async with self.redis.pipeline() as pipe:
            pipe.llen(f"{self.jobs.base(queue)}:wake")
            pipe.delete(f"{self.jobs.base(queue)}:wake")
            lying, _ = await pipe.execute()
        return lying

    async def score(self, job_id: str, queue: str = "default") -> float | None:
        return await self.redis.zscore(self.jobs.base(queue), job_id)

    async def stats(self, queue: str = "default") -> dict[str, int]:
        stored = await self.redis.hgetall(f"{self.jobs.base(queue)}:stats")
        return {name.decode(): int(count) for name, count in stored.items()}

    async def records(self) -> list[dict[str, bytes]]:
        """Return the entries of the record stream, each as job id -> record."""
        entries = await self.redis.xrange(f"{SHARD}:records")
        return [{job_id.decode(): record for job_id, record in fields.items()} for _, fields in entries]

    async def keys(self) -> set[str]:
        """Return every key there is, without the shard's prefix, but those of senders, which end by themselves."""
        found = {key.decode() async for key in self.redis.scan_iter(count=1000)}
        names = {key.removeprefix(SHARD) for key in found - {_CLOCK_KEY}}
        return {name for name in names if not name.startswith(":sender:")}

    async def everything(self) -> dict[str, Any]:
        """Return the whole database, to see that nothing has changed."""
        return {key: await self._dump(key) for key in await self.keys()}

    async def traces(self, job_id: str) -> dict[str, Any]:
        """Return all that Redis knows of a job: key (without the shard's prefix) -> what it says of this job."""
        found: dict[str, Any] = {}
        for key in await self.keys():
            said = await self._said(key, job_id)
            if said is not None:
                found[key] = said
        return found

    async def _said(self, key: str, job_id: str) -> Any:
        kind, own = await self._dump(key), key.endswith(f":{job_id}")
        match kind:
            case bytes():
                return (kind.decode() if key.startswith("arq:in-progress:") else kind) if own else None
            case dict() if own:
                return {name: _opened(name, value) for name, value in kind.items()}
            case dict():
                value = kind.get(job_id)
                if not isinstance(value, bytes):
                    return value
                return value.decode() if key == ":cancels" else json.loads(value)
            case [*entries]:
                records = [fields[job_id] for fields in entries if isinstance(fields, dict) and job_id in fields]
                return records or None
            case _:
                return None

    async def _dump(self, key: str) -> Any:
        """Return a key's contents: bytes, a dict (zset: of ints; hash: of bytes), a list, or a set."""
        name = key if key.startswith("arq:") else SHARD + key
        match await self.redis.type(name):
            case b"string":
                return await self.redis.get(name)
            case b"zset":
                scores = await self.redis.zrange(name, 0, -1, withscores=True)
                return {member.decode(): int(score) for member, score in scores}
            case b"hash":
                return {field.decode(): value for field, value in (await self.redis.hgetall(name)).items()}
            case b"list":
                return await self.redis.lrange(name, 0, -1)
            case b"set":
                return await self.redis.smembers(name)
            case b"stream":
                return await self.records()
            case kind:
                raise AssertionError(kind)


def _opened(field: str, value: bytes) -> Any:
    return json.loads(value) if field == "info" else value


class Hand:
    """A worker as the store sees it. ``held`` is what it extends: what it claimed and has not ended."""

    def __init__(self, shop: Shop, name: str) -> None:
        self.name = name
        self.held: list[Lease] = []
        self.claims = 0
        self.batches = 0
        self._shop = shop

    async def claim(self, slots: int = 10, **quotas: int) -> list[Lease]:
        """Claim under the next number. ``quotas`` are by queue; without any, all slots are for the default one."""
        return (await self.ask(slots, **quotas)).leases

    async def ask(self, slots: int = 10, *, gate: str = "", **quotas: int) -> Claimed:
        """Claim under the next number, and return all that is answered."""
        self.claims += 1
        claimed = await self.claim_again(slots, gate=gate, **quotas)
        self.held += claimed.leases
        return claimed

    async def claim_again(
        self, slots: int = 10, number: int | None = None, *, gate: str = "", **quotas: int
    ) -> Claimed:
        """Claim under the last number once more, or under ``number``; ``gate`` is that of every queue."""
        return await self._shop.jobs.claim(
            self.name,
            self.claims if number is None else number,
            [Quota(queue, quota, gate) for queue, quota in (quotas or {"default": slots}).items()],
            slots=slots,
            lease_ms=LEASE_MS,
            max_losses=MAX_LOSSES,
            records=True,
        )

    async def extend(self) -> list[Lease]:
        return await self._shop.jobs.extend(self.name, LEASE_MS, self.held)

    async def finish(self, *endings: Ending, **keep: int) -> list[bool]:
        """Write the endings as the next batch; True for each that was accepted."""
        self.batches += 1
        answers = await self.finish_again(*endings, **keep)
        ended = {ending.lease.mark for ending in endings}
        self.held = [lease for lease in self.held if lease.mark not in ended]
        return answers

    async def finish_again(
        self, *endings: Ending, number: int | None = None, completed: int = 10_000, archived: int = 10_000
    ) -> list[bool]:
        """Write the endings as the last batch once more, or as ``number``."""
        letters = await self._shop.jobs.finish(
            self.name,
            self.batches if number is None else number,
            endings,
            keep_completed_count=completed,
            keep_archived_ms=ARCHIVE_MS,
            keep_archived_count=archived,
        )
        return [letter == "a" for letter in letters]


async def claimed(shop: Shop, *job_ids: str, queue: str = "default") -> tuple[Hand, Sequence[Lease]]:
    """Return a hand that has just claimed new jobs, in the order given."""
    await shop.put(*job_ids, queue=queue)
    hand = shop.hand("w1")
    leases = {lease.id: lease for lease in await hand.claim(len(job_ids), **{queue: len(job_ids)})}
    return hand, [leases[job_id] for job_id in job_ids]
