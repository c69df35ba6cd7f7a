"""The moves of a job, one method a script; the names are the same."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from jobsd.store.keys import DEFAULT_SHARD, base_key, queue_of, shard_key
from jobsd.store.looks import Looks
from jobsd.store.scripts import Scripts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio import Redis

    from jobsd.outcome import Asleep
    from jobsd.records.effects import Effect

UNKNOWN_QUEUE = "UNKNOWNQUEUE"
"""The first word of enqueue.lua's error."""

_STORED = ord("1")
_FIRST_LEASE = 5  # in claim.lua's answer
_NO_MORE = 2**53 - 1  # a call's number that no worker comes to
_LATE_MS = 600_000
_BEFORE_A_BEAT_MS = 3_600_000
"""What is known of a worker goes after that, if it is never heard of; its beats say for how long from then on."""


class NewJob(NamedTuple):
    """``when``: '' now, '+500' in 500 ms by the server's clock, or epoch ms; then perhaps ' ' and a rule (taking).

    ``conn``: the caller's connection to Postgres, in whose transaction the job goes into the outbox.
    """

    queue: str
    id: str
    when: str
    payload: bytes
    conn: Any = None


class Holder(NamedTuple):
    """The job that holds the key of one that was not stored; ``joined``: it has taken the call in."""

    queue: str
    id: str
    joined: bool


class Lease:
    """The right to run one job until it ends or the worker falls silent. ``mark`` proves it in every later write."""

    __slots__ = (
        "answered_at",
        "attempt",
        "due",
        "effect",
        "id",
        "mark",
        "over",
        "payload",
        "queue",
        "side",
        "started_at",
    )

    def __init__(
        self,
        queue: str,
        job_id: str,
        mark: str,
        due: int,
        started_at: int,
        attempt: int,
        payload: bytes | None,
        side: bytes | None,
        answered_at: int,
    ) -> None:
        self.queue = queue
        self.id = job_id
        self.mark = mark
        self.due = due
        self.started_at = started_at
        self.attempt = attempt
        self.payload = payload
        self.side = side
        self.answered_at = answered_at
        """The server's time when the lease was told: later than its start where an answer was lost."""
        self.effect: Effect | None = None
        """The run's ``ctx.transaction()``: who makes the outcome asks it what became of it."""
        self.over: Asleep | bool = False
        """The run's function has ended, or it sleeps: nothing of it is to begin, or to commit, any more."""


class Claimed(NamedTuple):
    """``now`` is the server's, in ms; ``next_due`` the earliest score of the queues, or None.

    ``look_at`` is when this worker is to claim again; None: another one is there when the next job falls due.
    ``lost`` are the jobs whose run was found lost on the way.
    """

    now: int
    next_due: int | None
    look_at: int | None
    leases: list[Lease]
    lost: list[str]


class Ending(NamedTuple):
    """One row of finish.lua's arguments; see there for ``move``, ``at`` and ``data``."""

    lease: Lease
    move: str
    at: int
    data: str | bytes
    result: bytes
    record: bytes


class Quota(NamedTuple):
    """``gate`` is '' or '<most>:<from>:<until>': so many leases at the most, in these ms only."""

    queue: str
    slots: int
    gate: str = ""


class Jobs:
    """The scripts of one shard, on one Redis client."""

    progress_every_s = 0.2
    """How often a running job is to tell its progress at the most."""

    def __init__(self, redis: Redis, *, shard: str = DEFAULT_SHARD, variants: Mapping[str, str] | None = None) -> None:
        self.redis = redis
        self.shard = shard
        self.looks = Looks(redis, shard=shard)
        self._shard_key = shard_key(shard)
        self._scripts = Scripts(redis, variants)
        self._bases: dict[str, str] = {}

    def base(self, queue: str) -> str:
        base = self._bases.get(queue)
        if base is None:
            base = self._bases[queue] = base_key(queue, self.shard)
        return base

    def queue_of(self, base: str) -> str:
        return queue_of(base)

    async def announce(
        self,
        worker: str,
        facts: Mapping[str, str],
        queues: Sequence[str],
        unknown_queues: Literal["accept", "refuse"] | None = None,
        keep: Mapping[str, str] | None = None,
    ) -> str:
        """Publish what there is to know of a worker and its queues; the beat sets how long that lasts.

        ``unknown_queues`` is what enqueue.lua does from now on with a queue that nobody ever announced, ``keep`` how
        much of the queues' finished jobs is kept from now on, whoever finishes or trims: see keep.lua for the text.
        Return the epoch: a name that the shard keeps until its Redis loses everything.
        """
        pipe = self.redis.pipeline(transaction=True)
        pipe.hset(f"{self._shard_key}:worker:{worker}", mapping=dict(facts))  # pyright: ignore[reportUnknownMemberType]
        pipe.pexpire(f"{self._shard_key}:worker:{worker}", _BEFORE_A_BEAT_MS)
        if queues:
            pipe.sadd(f"{self._shard_key}:queues", *map(self.base, queues))
        if unknown_queues is not None:
            pipe.hset(f"{self._shard_key}:state", "unknown", unknown_queues)  # pyright: ignore[reportUnknownMemberType]
        if keep:
            texts = {f"keep:{self.base(queue)}": text for queue, text in keep.items()}
            pipe.hset(f"{self._shard_key}:state", mapping=texts)  # pyright: ignore[reportUnknownMemberType]
        pipe.set(f"{self._shard_key}:epoch", secrets.token_hex(6), nx=True)
        pipe.get(f"{self._shard_key}:epoch")
        return (await pipe.execute())[-1].decode()

    async def epoch(self) -> str | None:
        """Return what ``announce`` does, or None where Redis has lost everything since."""
        found: bytes | None = await self.redis.get(f"{self._shard_key}:epoch")
        return None if found is None else found.decode()

    async def note_throttle(self, worker: str, percent: int) -> None:
        """Say how much of what it could this worker claims; of one that claims all nothing is noted."""
        key = f"{self._shard_key}:worker:{worker}"
        if percent < 100:  # noqa: PLR2004 - all of it
            await self.redis.hset(key, "throttle", str(percent))  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues]
        else:
            await self.redis.hdel(key, "throttle")  # pyright: ignore[reportGeneralTypeIssues]

    async def sign_off(self, worker: str) -> None:
        """Remove a worker that ends in order."""
        pipe = self.redis.pipeline(transaction=True)
        key = f"{self._shard_key}:worker:{worker}"
        pipe.zrem(f"{self._shard_key}:workers", worker)
        pipe.hdel(key, "beat")
        # A claim or a beat may still be on its way: it must come too late. A batch of endings may be its last.
        pipe.hset(key, mapping={"claim": _NO_MORE})  # pyright: ignore[reportUnknownMemberType]
        pipe.pexpire(key, _LATE_MS)
        await pipe.execute()

    async def enqueue(self, sender: str, number: int, jobs: Sequence[NewJob]) -> list[bool | Holder]:
        """Store the jobs, at most 1,000; False for one whose id another job has, the holder where one has its key.

        Repeat with the same ``number`` until an answer has come: within a minute nothing is stored twice.
        """
        places: dict[str, int] = {}
        args: list[Any] = [sender, number]
        if not jobs:
            return []
        for job in jobs:
            args += (places.setdefault(job.queue, len(places) + 1), job.id, job.when, job.payload)
        answer: bytes = await self._scripts.call("enqueue", self._keys(places), args)
        if b" " not in answer:
            return [digit == _STORED for digit in answer]
        digits, *told = answer.decode(errors="surrogateescape").split(" ")
        holders = zip(told[::2], told[1::2], strict=True)
        return [
            Holder(queue_of((found := next(holders))[0]), found[1], digit == "3") if digit in "23" else digit == "1"
            for digit in digits
        ]

    async def claim(
        self,
        worker: str,
        number: int,
        quotas: Sequence[Quota],
        *,
        slots: int,
        lease_ms: int,
        max_losses: int,
        records: bool,
    ) -> Claimed:
        """Lease up to ``slots`` due jobs. Repeat with the same ``number`` until an answer has come."""
        queues = [quota.queue for quota in quotas]
        args: list[Any] = [worker, number, lease_ms, slots, max_losses, "1" if records else "0"]
        for quota in quotas:
            args += quota.slots, quota.queue, quota.gate
        answer: list[Any] = await self._scripts.call("claim", self._keys(queues), args)
        now: int = answer[0]
        started: int = answer[4]
        next_due = int(answer[1])
        leases: list[Lease] = []
        start = f"{worker}:{number}:"
        for n in range(_FIRST_LEASE, len(answer), 6):
            row = cast("tuple[int, bytes, bytes, int, bytes | None, bytes | None]", answer[n : n + 6])
            place, raw_id, raw_due, attempt, payload, side = row
            if place == 0:  # a lease of a repeated call that has ended meanwhile
                continue
            due = raw_due.decode()  # and what limits the job
            mark = f"{start}{(n - _FIRST_LEASE) // 6 + 1}:{started}:{attempt}:{due}"
            job_id = raw_id.decode(errors="surrogateescape")
            due_at = int(due if due.isdigit() else due.partition(":")[0])
            leases.append(Lease(queues[place - 1], job_id, mark, due_at, started, attempt, payload, side, now))
        look_at = int(answer[2])
        lost: list[bytes] = answer[3]
        return Claimed(
            now,
            next_due if next_due >= 0 else None,
            look_at if look_at >= 0 else None,
            leases,
            [job_id.decode(errors="replace") for job_id in lost],
        )

    async def extend(self, worker: str, lease_ms: int, leases: Sequence[Lease], *, last: bool = True) -> list[Lease]:
        """Prolong ``leases``, at most 500; return those that are no longer the worker's.

        The call that lists the last of them says that the worker lives: whose lease it did not list may be taken.
        """
        places: dict[str, int] = {}
        args: list[Any] = [worker, lease_ms, "1" if last else "0"]
        for lease in leases:
            args += (places.setdefault(lease.queue, len(places) + 1), lease.id, lease.mark)
        lost = await self._scripts.call("extend", self._keys(places), args)
        return [leases[n - 1] for n in lost]

    async def finish(
        self,
        worker: str,
        batch: int,
        endings: Sequence[Ending],
        *,
        keep_completed_count: int,
        keep_archived_ms: int,
        keep_archived_count: int,
    ) -> str:
        """Write the endings, at most 500; return finish.lua's letter for each.

        What is to be kept holds for queues of which no worker has announced it.
        """
        places: dict[str, int] = {}
        args: list[Any] = [worker, batch, keep_completed_count, keep_archived_ms, keep_archived_count]
        for lease, move, at, data, result, record in endings:
            args += (
                places.setdefault(lease.queue, len(places) + 1),
                lease.id,
                lease.mark,
                move,
                at,
                data,
                result,
                record,
            )
        answer: bytes = await self._scripts.call("finish", self._keys(places), args)
        return answer.decode()

    async def progress(self, lease: Lease, done: int, total: int) -> bool:
        """Note how far a running job is; False if it is no longer this worker's."""
        args = [lease.id, lease.mark, done, total]
        return await self._scripts.call("progress", [self.base(lease.queue)], args) == 1

    async def hand_on(self, worker: str, queues: Sequence[str], woken_by: str | None = None) -> None:
        """Let others wait for the next jobs of the queues, and one have the wake-up that ``worker`` has taken."""
        place = queues.index(woken_by) + 1 if woken_by in queues else 0
        await self._scripts.call("hand_on", self._keys(queues), [worker, place])

    async def rerun(self, queue: str, job_id: str) -> int:
        """Run an archived job again; 0 if there is none, or one with its id is live; 2 if one has its unique key."""
        return int(await self._scripts.call("rerun", [self.base(queue), self._shard_key], [job_id]))

    async def recover(self, queues: Sequence[str], *, lease_ms: int, max_losses: int, records: bool) -> list[str]:
        """Take back the jobs of dead workers; return the ids of the runs that were lost."""
        args = [lease_ms, max_losses, "1" if records else "0", *queues]
        lost = await self._scripts.call("recover", self._keys(queues), args)
        return [job_id.decode(errors="replace") for job_id in lost]

    async def pause(self, queue: str, *, paused: bool) -> bool:
        """Let the queue hand out no jobs from the next claim on, or again; False if it was so already."""
        keys = [self.base(queue), self._shard_key]
        return await self._scripts.call("pause", keys, ["1" if paused else "0"]) == 1

    async def limit(self, name: str, how: Literal["config", "set", "reset"], text: str = "") -> str:
        """Limit a queue, or the resource ``r=<name>``, by configuration or at run time; return what is in effect now.

        ``text`` is a limits text (limits.lua); with "set" a field ``*`` keeps what is in effect.
        """
        lane = name if name.startswith("r=") else ""
        return (await self._scripts.call("limit", self._keys([] if lane else [name]), [lane, how, text])).decode()

    async def cancel(self, queue: str, job_id: str, *, records: bool = True) -> str:
        """Let a job run no more; return cancel.lua's word for how far that has come."""
        args = [job_id, queue, "1" if records else "0"]
        return (await self._scripts.call("cancel", [self.base(queue), self._shard_key], args)).decode()

    async def told(self, job_id: str, mark: str, state: Literal["delivered", "resisting"]) -> bool:
        """Say how far the cancelling of a running job has come; False if another run has it, or nobody asked."""
        return await self._scripts.call("told", [self._shard_key], [job_id, mark, state]) == 1

    async def release(self, queues: str | Sequence[str], reasons: Sequence[str], *, most: int = 500) -> int:
        """Give back jobs parked for ``reasons``, at most 500 a call; return how many. It wakes nobody."""
        names = [queues] if isinstance(queues, str) else queues
        return int(await self._scripts.call("release", self._keys(names), [most, *reasons]))

    async def adopt(self, queue: str, cursor: str) -> str:
        """Keep payloads of arq's clients from expiring, some 500 a call; return the next cursor, "0" at the end."""
        return (await self._scripts.call("adopt", [self.base(queue)], [cursor])).decode()

    async def trim(self, queue: str, *, keep_archived_ms: int, keep_archived_count: int) -> int:
        """Forget what is over its retention, at most 700 jobs a call; return how many.

        What is to be kept holds for queues of which no worker has announced it.
        """
        args = [keep_archived_ms, keep_archived_count]
        return int(await self._scripts.call("trim", self._keys([queue]), args))

    def _keys(self, queues: Sequence[str] | Mapping[str, int]) -> list[str]:
        return [self._shard_key, *map(self.base, queues)]
