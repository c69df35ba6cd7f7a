"""Schedules in Redis, where there is no Postgres: kept, judged and fired by scripts.

Redis remembers the last 50 lines of each one's history. If it loses everything, the entries are lost with it: daemons
then write down again what they declare, as far as they had seen it come.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from jobsd.errors import NotConfiguredError
from jobsd.schedule.definition import Schedule
from jobsd.schedule.state import Beat, Entry, Looked, Past, State
from jobsd.store.codec import UndecodableError, decode_payload
from jobsd.store.keys import DEFAULT_SHARD, JOB, NO_CHILD, PARKED, base_key, shard_key
from jobsd.store.scripts import Scripts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis.asyncio import Redis

    from jobsd.schedule.state import Change

_MOST_ENTRIES = 500
_MOST_JOBS = 200
_AT_ONCE = 200
"""Entries that are read before others have their turn in the event loop."""
_ALIVE_MS = 30_000
_TIMES = ("at", "zone", "seconds", "start_ms")
_WHETHER = ("enabled", "end_ms", "max_runs")


class RedisSchedules:
    """See Store. Run-time schedules are not kept here."""

    through_outbox = False

    def __init__(self, redis: Redis, *, shard: str = DEFAULT_SHARD) -> None:
        self._redis: Any = redis
        self._shard = shard
        self._shard_key = shard_key(shard)
        self._entries = f"{self._shard_key}:schedules"
        self._declared = f"{self._shard_key}:declared"
        self._scripts = Scripts(redis)

    async def declare(
        self, schedules: Sequence[Schedule], fingerprint: str, *, at_start: bool, age_ms: int = 0
    ) -> None:
        for start in range(0, max(len(schedules), 1), _MOST_ENTRIES):
            args: list[Any] = [fingerprint, int(at_start), age_ms]
            for one in schedules[start : start + _MOST_ENTRIES]:
                wire = one.to_wire()
                when = b"\t".join(to_json([wire.get(name) for name in names]) for names in (_TIMES, _WHETHER))
                args += one.name, one.source, to_json(wire), when
            await self._scripts.call("declare", [self._shard_key], args)

    async def beat(self, fingerprint: str, age_ms: int = 0) -> Beat:
        pipe = self._redis.pipeline(transaction=False)
        pipe.time()
        pipe.hget(f"{self._shard_key}:state", "schedules")
        pipe.hlen(self._entries)
        pipe.zrange(self._declared, 0, -1, withscores=True)
        (seconds, micros), mark, many, declared = await pipe.execute()
        now = int(seconds) * 1000 + int(micros) // 1000
        pipe = self._redis.pipeline(transaction=False)
        pipe.zadd(self._declared, {fingerprint: now})
        pipe.zadd(f"{self._shard_key}:declaring", {fingerprint: now - age_ms}, nx=True)
        await pipe.execute()
        others = sorted(text.decode() for text, seen in declared if seen > now - _ALIVE_MS)
        return Beat(now, f"{many} {(mark or b'').decode()}", " ".join(text for text in others if text != fingerprint))

    async def look(self, names: Sequence[str] | None = None) -> Looked:
        pipe = self._redis.pipeline(transaction=False)
        pipe.time()
        pipe.zrange(self._declared, 0, -1, withscores=True)
        if names is None:
            pipe.hgetall(self._entries)
        elif names:
            pipe.hmget(self._entries, *names)
        (seconds, micros), declared, *found = await pipe.execute()
        now = int(seconds) * 1000 + int(micros) // 1000
        stored: dict[str, bytes | None] = {}
        if names is None:
            stored = {name.decode(): text for name, text in found[0].items()}
        elif names:
            stored = dict(zip(names, found[0], strict=True))
        alive = {text.decode() for text, seen in declared if seen > now - _ALIVE_MS}
        entries: dict[str, Entry] = {}
        unread: dict[str, str] = {}
        for number, (name, text) in enumerate(stored.items(), 1):
            if text is not None:
                try:
                    entries[name] = _entry(name, text, alive)
                except (ValueError, TypeError) as error:
                    unread[name] = str(error)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        jobs = [entry.state.last_job for entry in entries.values() if entry.state.last_job]
        live = await self.live(jobs, outbox=False)
        return Looked(
            now,
            {name: entry._replace(last_is_live=entry.state.last_job in live) for name, entry in entries.items()},
            unread,
        )

    async def standing(self) -> dict[str, str]:
        stored = await self._redis.hgetall(self._entries)
        return {name.decode(): text.partition(b"\n")[0].decode() for name, text in stored.items()}

    async def live(self, jobs: Iterable[str], *, outbox: bool) -> set[str]:
        """Return which of these jobs, each "<id> <incarnation>", have not ended.

        Of the ``outbox`` are jobs that have a row there: one of which this Redis has no trace is yet to come.
        """
        asked = list(jobs)
        if not asked:
            return set()
        pipe = self._redis.pipeline(transaction=False)
        for job in asked:
            pipe.exists(f"arq:job:{job.partition(' ')[0]}")
            if outbox:
                pipe.zscore(f"{self._shard_key}:outbox", job)
        answers = await pipe.execute()
        if not outbox:
            return {job for job, there in zip(asked, answers, strict=True) if there}
        pairs = zip(asked, answers[::2], answers[1::2], strict=True)
        return {job for job, there, known in pairs if there or known is None}

    async def parked(self, jobs: Sequence[tuple[str, str]]) -> dict[str, str]:
        """Return job -> for what it is parked, of those that are: "executor:process", or "task:<name>" (keys.py).

        ``jobs`` are ("<id> <incarnation>", queue).
        """
        found: dict[str, str] = {}
        for start in range(0, len(jobs), _MOST_ENTRIES):
            some = jobs[start : start + _MOST_ENTRIES]
            pipe = self._redis.pipeline(transaction=False)
            for job, queue in some:
                base, job_id = base_key(queue, self._shard), job.partition(" ")[0]
                pipe.zscore(base, job_id)
                pipe.zscore(f"{base}:parked:{NO_CHILD}", job_id)
            scores = await pipe.execute()
            lines = zip(some, scores[::2], scores[1::2], strict=True)
            parked = [(job, child) for (job, _), at, child in lines if at is not None and at <= PARKED]
            for job, child in parked:
                found[job] = NO_CHILD if child is not None else await self._unknown_task(job.partition(" ")[0])
        return found

    async def _unknown_task(self, job_id: str) -> str:
        try:
            return f"task:{decode_payload(await self._redis.get(JOB + job_id)).task}"
        except UndecodableError:  # it has gone on meanwhile
            return "task:"

    async def apply(self, changes: Sequence[Change]) -> set[str]:
        return await fire(self._scripts, self._shard, self._entries, changes, outbox=False)

    async def fired(self, dues: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        del dues
        raise NotConfiguredError(what="Postgres", ways=_WAYS)

    async def forget_spare(self, name: str) -> None:
        """Forget how far it has come while Postgres, which kept it, was away (spare_schedules.py)."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hdel(f"{self._shard_key}:spare", name)
        pipe.delete(f"{self._shard_key}:spared:{name}")
        await pipe.execute()

    async def put(self, schedule: Schedule, *, version: int | None) -> bool:
        del schedule, version
        raise NotConfiguredError(what="Postgres", ways=_WAYS)

    async def remove(self, name: str) -> bool:
        """Delete what no daemon declares any more."""
        looked = await self.look([name])
        entry = looked.entries.get(name)
        if entry is None or entry.declared:
            return False
        pipe = self._redis.pipeline(transaction=True)
        pipe.hdel(self._entries, name)
        pipe.delete(f"{self._shard_key}:schedule:{name}")
        return bool((await pipe.execute())[0])

    async def history(
        self, name: str | None, limit: int, *, since: int | None = None, passed: bool = False
    ) -> list[Past]:
        names = [name] if name is not None else [one.decode() for one in await self._redis.hkeys(self._entries)]
        pipe = self._redis.pipeline(transaction=False)
        for one in names:
            pipe.lrange(f"{self._shard_key}:schedule:{one}", 0, -1 if passed else limit - 1)
        lines = [Past.from_wire(from_json(line)) for found in await pipe.execute() for line in found] if names else []
        asked = [
            line
            for line in lines
            if (since is None or (line.last or line.due) >= since) and not (passed and line.state != "passed")
        ]
        latest = sorted(asked, key=lambda line: (-(line.last or line.due), line.name))[:limit]
        live = await self.live([line.job_id for line in latest if line.job_id], outbox=False)
        return [line._replace(live=line.job_id in live) for line in latest]


_WAYS = "run-time schedules are kept there; set JOBSD_DATABASE_URL"


def _entry(name: str, text: bytes, alive: set[str]) -> Entry:
    version, by, source, _, definition, state = text.decode().split("\n", 5)
    schedule = Schedule.from_wire({**from_json(definition), "name": name}, source)  # pyright: ignore[reportArgumentType]
    return Entry(schedule, State.from_wire(from_json(state)), int(version), by, by in alive)


async def fire(scripts: Scripts, shard: str, entries: str, changes: Sequence[Change], *, outbox: bool) -> set[str]:
    """Write changes to the entries in this key, with their jobs, and return the names of those that were."""
    applied: set[str] = set()
    for some in _portions(changes):
        places: dict[str, int] = {}
        args: list[Any] = [int(outbox)]
        for change in some:
            args += _args(change, places)
        keys = [shard_key(shard), entries, *(base_key(queue, shard) for queue in places)]
        applied |= {name.decode() for name in await scripts.call("fire", keys, args)}
    return applied


def _portions(changes: Sequence[Change]) -> Iterable[list[Change]]:
    """Yield changes with at most _MOST_JOBS jobs together; one change is never divided."""
    some: list[Change] = []
    jobs = 0
    for change in changes:
        if some and jobs + len(change.fired) + 1 > _MOST_JOBS:
            yield some
            some, jobs = [], 0
        some.append(change)
        jobs += len(change.fired) + 1
    if some:
        yield some


def _args(change: Change, places: dict[str, int]) -> list[Any]:
    lines = [
        Past(
            change.name,
            one.first,
            "passed",
            one.reason,
            one.due_times,
            "",
            manual=False,
            decided_at=change.state.cursor,
            last=one.last,
        )
        for one in change.passed
    ]
    lines += [
        Past(
            change.name,
            one.due,
            "fired",
            "",
            1,
            one.job.id,
            manual=one.manual,
            decided_at=max(change.state.cursor, one.due),
        )
        for one in change.fired
    ]
    told = [to_json(line._asdict()) for line in sorted(lines, key=lambda line: line.due)]
    args: list[Any] = [
        change.name,
        change.version,
        to_json(change.state.to_wire()),
        int(change.tell),
        len(told),
        len(change.fired),
    ]
    args += told
    for one in change.fired:
        args += places.setdefault(one.job.queue, len(places) + 1), one.job.id, one.job.when, one.job.payload
    return args
