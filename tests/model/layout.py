"""Two ways to the same picture: what Redis holds, and what it should hold for what the reference says.

Both are dictionaries of key -> contents, of every key there is. Left out is what is only a hint: the score of
a job that runs; and the wake tokens and watches, which have laws of their own.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd.execution import LOST_MARK, LostRun
from jobsd.store.keys import IN_PROGRESS, JOB, RESULT, base_key, shard_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.reference import Reference

SHARD = shard_key()
SENDER = "client"
FACTS = ("n", "f", "l", "x")
Picture = dict[str, Any]

DUMP = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, content = redis.call('TYPE', key).ok, nil
  if kind == 'zset' then content = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'hash' then content = redis.call('HGETALL', key)
  elseif kind == 'list' then content = redis.call('LRANGE', key, 0, -1)
  elseif kind == 'set' then content = redis.call('SMEMBERS', key)
  elseif kind == 'stream' then content = redis.call('XRANGE', key, '-', '+')
  else content = redis.call('GET', key) end
  found[#found + 1] = {key, kind, redis.call('PTTL', key), content}
end
return found
"""


class Book(NamedTuple):
    """What the server remembers of calls and clients, beside the jobs: the harness keeps it, having made the calls."""

    queues: set[str]
    claims: dict[str, int]
    batches: dict[str, tuple[int, str | None]]
    refused: Counter[str]
    signed_off: set[str]
    sent: list[Any]


# --- what there should be -------------------------------------------------------------------------------


def owned(reference: Reference, book: Book) -> Picture:
    """Return every key that has an owner, with its contents."""
    picture: Picture = {}

    def put(key: str, member: str, value: Any) -> None:
        picture.setdefault(key, {})[member] = value

    for job in reference.live.values():
        base = base_key(job.queue)
        picture[JOB + job.id] = job.payload
        put(base, job.id, None if job.mark else job.at)
        if job.mark:
            picture[IN_PROGRESS + job.id] = job.mark
            put(f"{base}:active", job.id, job.lease_end)
        if job.retry_at is not None:
            put(f"{base}:retry", job.id, job.retry_at)
        if job.noted:
            put(f"{base}:side", job.id, counted(job.noted) | {"p": job.noted.get("p")})
    for (queue, reason, job_id), due in reference.parked.items():
        put(f"{base_key(queue)}:parked:{reason}", job_id, due)
    kept = reference.kept
    for job_id, incarnation in kept.results.items():
        picture[RESULT + job_id] = (incarnation, job_id in kept.passing)
    for (queue, job_id), completed in kept.completed.items():
        put(f"{base_key(queue)}:completed", job_id, completed.until)
    for (queue, job_id), archived in kept.archived.items():
        put(f"{base_key(queue)}:archived", job_id, archived.since)
        picture[f"{base_key(queue)}:dead:{job_id}"] = (archived.payload, counted(archived.noted))
    return picture | _totals(reference, book) | _of_the_shard(reference, book)


def _totals(reference: Reference, book: Book) -> Picture:
    """Return the counters of the queues: they follow from the records and from what was refused."""
    totals: dict[str, Counter[str]] = {}
    for queue, _, _, move in reference.records:
        own = totals.setdefault(f"{base_key(queue)}:stats", Counter())
        own["processed"] += move in {"C", "D", "A", "R"}
        own["failed"] += move in {"A", "R"}
        own["lost"] += move in {"requeued", "archived"}
    for queue, count in book.refused.items():
        totals.setdefault(f"{base_key(queue)}:stats", Counter())["stale"] += count
    return {key: dict(+counts) for key, counts in totals.items() if +counts}


def _of_the_shard(reference: Reference, book: Book) -> Picture:
    picture: Picture = {
        f"{SHARD}:state": {f"paused:{base_key(queue)}": since for queue, since in reference.paused.items()}
    }
    if reference.rest.seen is not None:
        picture[f"{SHARD}:state"] |= {"seen": reference.rest.seen, "amnesty": reference.rest.until}
    picture[f"{SHARD}:queues"] = {base_key(queue) for queue in book.queues}
    picture[f"{SHARD}:workers"] = dict(reference.beats)
    picture[f"{SHARD}:records"] = [(job_id, *_run(mark), move) for _, job_id, mark, move in reference.records]
    for worker in reference.beats.keys() | book.claims.keys() | book.batches.keys():
        number, answers = book.batches.get(worker, (None, None))
        facts = {"beat": reference.beats.get(worker), "claim": book.claims.get(worker), "finish": number}
        ends = worker in reference.beats or worker in book.signed_off
        picture[f"{SHARD}:worker:{worker}"] = (facts | {"answers": answers}, ends)
    number, answers = book.sent
    if number:
        picture[f"{SHARD}:sender:{SENDER}"] = f"{number}:{''.join('1' if stored else '0' for stored in answers)}"
    return {key: contents for key, contents in picture.items() if contents}


def counted(noted: dict[str, Any]) -> dict[str, Any]:
    return {name: noted.get(name, 0) for name in FACTS}


def _run(mark: str) -> tuple[str, int, int, int]:
    """Return what a record tells of the run that a mark stands for: worker, start, attempt, due time."""
    worker, _, _, started, attempt, due = mark.split(":")
    return worker, int(started), int(attempt), int(due)


# --- what there is --------------------------------------------------------------------------------------


class Sight(NamedTuple):
    """What was read at one instant. ``scores`` are those of the queues, hints and all."""

    picture: Picture
    scores: dict[str, dict[str, int]]
    tokens: dict[str, int]
    watches: dict[str, tuple[int, str]]


def difference(expected: Picture, actual: Picture) -> Iterator[str]:
    """Tell key by key what is stored otherwise than it should be."""
    for key in sorted(expected.keys() | actual.keys()):
        if key not in expected:
            yield f"{key} has no owner: {actual[key]}"
        elif key not in actual:
            yield f"{key} is missing: {expected[key]}"
        elif expected[key] != actual[key]:
            yield f"{key} is {actual[key]}, not {expected[key]}"


def seen(dump: list[tuple[bytes, bytes, int, Any]], queues: set[str]) -> Sight:
    """Return what a dump of the database shows."""
    picture: Picture = {}
    for raw_key, kind, ttl, content in dump:
        key = raw_key.decode()
        if not key.startswith("test:"):
            picture[key] = _READERS[kind](key, content, ttl)
    bases = {base_key(queue) for queue in queues}
    tokens = {base: picture.pop(f"{base}:wake", 0) for base in bases}
    scores = {base: picture.get(base, {}) for base in bases}
    for base in bases & picture.keys():
        active = picture.get(f"{base}:active", {})
        picture[base] = {job_id: None if job_id in active else at for job_id, at in picture[base].items()}
    state = picture.get(f"{SHARD}:state", {})
    watches = {base: state.pop(f"watch:{base}") for base in bases if f"watch:{base}" in state}
    if not state:
        picture.pop(f"{SHARD}:state", None)
    return Sight(picture, scores, tokens, watches)


def _string(key: str, content: bytes, ttl: int) -> Any:
    if key.startswith(RESULT):
        return content[:19], ttl > 0
    if key.startswith(f"{SHARD}:sender:"):
        assert ttl > 0, f"{key} stays for ever"
        return content.decode()
    assert ttl == -1, f"{key} ends by itself"
    return content.decode() if key.startswith(IN_PROGRESS) else content


def _zset(key: str, content: list[bytes], ttl: int) -> dict[str, int]:
    return {member.decode(): int(float(score)) for member, score in zip(content[::2], content[1::2], strict=True)}


def _hash(key: str, content: list[bytes], ttl: int) -> Any:
    fields = {name.decode(): value for name, value in zip(content[::2], content[1::2], strict=True)}
    if key.endswith(":side"):
        return {job_id: _side(value) for job_id, value in fields.items()}
    if ":dead:" in key:
        return fields["payload"], counted(json.loads(fields["info"]))
    if key.startswith(f"{SHARD}:worker:"):
        facts = {name: int(fields[name]) if name in fields else None for name in ("beat", "claim", "finish")}
        return facts | {"answers": fields["answers"].decode() if "answers" in fields else None}, ttl > 0
    return {name: _watch(value) if name.startswith("watch:") else int(value) for name, value in fields.items()}


def _watch(value: bytes) -> tuple[int, str]:
    due, _, worker = value.decode().partition(":")
    return int(due), worker


def _side(value: bytes) -> dict[str, Any]:
    noted = json.loads(value)
    return counted(noted) | {"p": noted.get("p")}


def _stream(key: str, content: list[tuple[bytes, list[bytes]]], ttl: int) -> list[tuple[Any, ...]]:
    return [
        (job_id.decode(), *_record(record))
        for _, fields in content
        for job_id, record in zip(fields[::2], fields[1::2], strict=True)
    ]


def _record(record: bytes) -> tuple[Any, ...]:
    told = json.loads(record.partition(b"\n")[0])
    if told[0] != LOST_MARK:
        mark, move = told
        return *_run(mark), move
    lost = LostRun(*told)
    return lost.worker, lost.started_at, lost.attempt, lost.scheduled_for, lost.transition


_READERS: dict[bytes, Any] = {
    b"string": _string,
    b"zset": _zset,
    b"hash": _hash,
    b"stream": _stream,
    b"list": lambda _key, content, _ttl: len(content),
    b"set": lambda _key, content, _ttl: {member.decode() for member in content},
}
