"""Two ways to the same picture: what Redis holds, and what it should hold for what the reference says.

Both are dictionaries of key -> contents, of every key there is. Left out is what is only a hint: the score of a job
that runs; the tokens and watches; and whether a job that is due waits in a lane, and whose turn is next. Those have
laws of their own. A key that is to end by itself is seen to do so.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd.execution import CANCELLED_MARK, UNTOLD_MARKS, UntoldRun
from jobsd.store.jobs import Holder
from jobsd.store.keys import FIRST_TIME, IN_PROGRESS, JOB, LANED, PARKED, RESULT, base_key, shard_key
from tests.model.limited import places_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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

    claims: dict[str, int]
    batches: dict[str, tuple[int, str | None]]
    refused: Counter[str]
    signed_off: set[str]
    sent: list[Any]


# --- what there should be -------------------------------------------------------------------------------


def owned(reference: Reference, book: Book, actual: Picture) -> Picture:  # noqa: C901 - one kind of key after the other
    """Return every key that has an owner, with its contents. Of starts, there may be only those that still count."""
    picture: Picture = {}
    kept_starts = {place: actual.get(_key_of_starts(*place), []) for place in reference.limits.starts}

    def put(key: str, member: str, value: Any) -> None:
        picture.setdefault(key, {})[member] = value

    for job in reference.live.values():
        base = base_key(job.queue)
        picture[JOB + job.id] = job.payload
        put(base, job.id, None if job.mark else job.at)
        if job.mark:
            picture[IN_PROGRESS + job.id] = job.mark
            put(f"{base}:active", job.id, job.lease_end)
        if job.retry_at is not None and job.id not in _laned(actual, base):
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
    for place, starts in reference.limits.forget(kept_starts).items():
        picture[_key_of_starts(*place)] = starts
    return picture | _held(reference) | _totals(reference, book) | _of_the_shard(reference, book)


def _held(reference: Reference) -> Picture:
    """Return how many leases there are under each limit key and resource."""
    held: Picture = {}
    for job in reference.live.values():
        for owner, part in places_of(job.queue, job.limits)[1:] if job.mark else ():
            of_owner = held.setdefault(f"{_prefix(owner)}:held", {})
            of_owner[part] = of_owner.get(part, 0) + 1
    return held


def _key_of_starts(owner: str, part: str) -> str:
    return f"{_prefix(owner)}:starts{part and ':'}{part}"


def _prefix(owner: str) -> str:
    """Return the prefix of what belongs to a queue, or to the shard."""
    return base_key(owner) if owner else SHARD


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
        | {f"keep:{base_key(queue)}": ":".join(map(str, said)) for queue, said in reference.kept.said.items()}
        | _limits(reference)
    }
    if reference.rest.seen is not None:
        picture[f"{SHARD}:state"] |= {"seen": reference.rest.seen, "amnesty": reference.rest.until}
    picture[f"{SHARD}:queues"] = {base_key(queue) for queue in reference.queues}
    picture[f"{SHARD}:workers"] = dict(reference.beats)
    told = sorted((job_id, *_run(mark), move) for _, job_id, mark, move in reference.records)
    picture[f"{SHARD}:records"] = told
    cancels = {job_id: f"{state} {reference.live[job_id].mark}" for job_id, state in reference.cancels.items()}
    picture[f"{SHARD}:cancels"] = cancels
    for (kind, digest), (queue, job_id) in reference.keys.items():
        picture[f"{SHARD}:{kind}:{digest}"] = f"{base_key(queue)} {job_id}"
    for digest, job in reference.open.items():
        facts = {"base": base_key(job.queue), "id": job.id, "items": job.items, "first": job.first}
        picture[f"{SHARD}:open:{digest}"] = {name: str(fact) for name, fact in facts.items() if fact is not None}
    for worker in reference.beats.keys() | book.claims.keys() | book.batches.keys():
        number, answers = book.batches.get(worker, (None, None))
        facts = {"beat": reference.beats.get(worker), "claim": book.claims.get(worker), "finish": number}
        picture[f"{SHARD}:worker:{worker}"] = facts | {"answers": answers}
    number, answers = book.sent
    if number:
        picture[f"{SHARD}:sender:{SENDER}"] = f"{number}:{_answer(answers)}"
    return {key: contents for key, contents in picture.items() if contents}


def _limits(reference: Reference) -> Picture:
    limits = reference.limits
    texts: Picture = {f"limits-config:{_named(name)}": text for name, text in limits.configured.items()}
    texts |= {f"limits-set:{_named(name)}": text for name, text in limits.set.items()}
    in_effect = {name: limits.text(name) for name in limits.configured.keys() | limits.set.keys()}
    return texts | {f"limits:{_named(name)}": text for name, text in in_effect.items() if text}


def _named(name: str) -> str:
    return name if name.startswith("r=") else base_key(name)


def _answer(answers: Sequence[bool | Holder]) -> str:
    """Return what enqueue.lua answers."""
    holders = [answer for answer in answers if isinstance(answer, Holder)]
    digits = [str(2 + answer.joined if isinstance(answer, Holder) else int(answer)) for answer in answers]
    return "".join(digits) + "".join(f" {base_key(holder.queue)} {holder.id}" for holder in holders)


def counted(noted: dict[str, Any]) -> dict[str, Any]:
    return {name: noted.get(name, 0) for name in FACTS}


def _run(mark: str) -> tuple[str, int, int, int]:
    """Return what a record tells of the run that a mark stands for: worker, start, attempt, due time."""
    worker, _, _, started, attempt, due = mark.split(":")[:6]
    return worker, int(started), int(attempt), int(due)


# --- what there is --------------------------------------------------------------------------------------


class Sight(NamedTuple):
    """What was read at one instant: the keys as they are, and what of it must have an owner.

    ``scores`` are the times of the queues, hints and all; ``cancel_tokens`` are by worker.
    """

    picture: Picture
    owned: Picture
    scores: dict[str, dict[str, int]]
    tokens: dict[str, int]
    watches: dict[str, tuple[int, str]]
    cancel_tokens: dict[str, int]


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
    told = f"{SHARD}:cancel:"
    cancel_tokens = {key.removeprefix(told): picture.pop(key) for key in list(picture) if key.startswith(told)}
    state = picture.get(f"{SHARD}:state", {})
    watches = {base: state.pop(f"watch:{base}") for base in bases if f"watch:{base}" in state}
    if not state:
        picture.pop(f"{SHARD}:state", None)
    scores = {base: _times(picture.get(base, {})) for base in bases}
    return Sight(picture, _without_hints(picture, bases), scores, tokens, watches, cancel_tokens)


def _times(scores: dict[str, int]) -> dict[str, int]:
    return {job_id: at for job_id, at in scores.items() if at >= FIRST_TIME}


def _without_hints(picture: Picture, bases: set[str]) -> Picture:
    """Return what has an owner: a job in a lane is there at its due time, and no retry; one that runs is at none."""
    hints = tuple(f"{base}:{kind}" for base in bases for kind in ("lane:", "turns", "closed", "behind:"))
    owned = {key: contents for key, contents in picture.items() if not key.startswith(hints)}
    for base in bases & owned.keys():
        dues, active, scores = _laned(picture, base), picture.get(f"{base}:active", {}), picture[base]
        owned[base] = {
            job_id: None if job_id in active else _due(at, dues.get(job_id)) for job_id, at in scores.items()
        }
        retries = owned.pop(f"{base}:retry", {})
        if retries := {job_id: at for job_id, at in retries.items() if job_id not in dues}:
            owned[f"{base}:retry"] = retries
    return owned


def _laned(picture: Picture, base: str) -> dict[str, int]:
    """Return the jobs of a queue that wait in lanes, with their due times."""
    lanes = [jobs for key, jobs in picture.items() if key.startswith(f"{base}:lane:")]
    return {job_id: due for jobs in lanes for job_id, due in jobs.items()}


def _due(score: int, in_lane: int | None) -> int | None:
    """Return a waiting job's due time, or PARKED. arq's workers may add to a score that is no time."""
    if score >= FIRST_TIME:
        return score
    return PARKED if abs(score - PARKED) < abs(score - LANED) else in_lane


def _string(key: str, content: bytes, ttl: int) -> Any:
    if key.startswith(RESULT):
        return content[:19], ttl > 0
    ends = (f"{SHARD}:sender:", f"{SHARD}:unique:", f"{SHARD}:throttle:")
    _see_whether_it_ends(key, ttl, key.startswith(ends))
    return content if key.startswith(JOB) else content.decode()


def _see_whether_it_ends(key: str, ttl: int, ends: bool) -> None:
    assert (ttl > 0) == ends, f"{key} " + ("stays for ever" if ends else "ends by itself")


def _zset(key: str, content: list[bytes], ttl: int) -> Any:
    _see_whether_it_ends(key, ttl, ends=False)
    scores = {member.decode(): int(float(score)) for member, score in zip(content[::2], content[1::2], strict=True)}
    return list(scores) if key.endswith(":turns") else scores


def _list(key: str, content: list[bytes], ttl: int) -> Any:
    """Return the starts under a limit, or how many tokens lie there."""
    starts = ":starts" in key
    _see_whether_it_ends(key, ttl, starts or key.startswith(f"{SHARD}:cancel:"))
    return [int(at) for at in content] if starts else len(content)


def _hash(key: str, content: list[bytes], ttl: int) -> Any:
    fields = {name.decode(): value for name, value in zip(content[::2], content[1::2], strict=True)}
    if key.startswith(f"{SHARD}:worker:"):
        facts = {name: int(fields[name]) if name in fields else None for name in ("beat", "claim", "finish")}
        _see_whether_it_ends(key, ttl, ends=True)
        return facts | {"answers": fields["answers"].decode() if "answers" in fields else None}
    _see_whether_it_ends(key, ttl, ends=False)
    if key.endswith(":side"):
        return {job_id: _side(value) for job_id, value in fields.items()}
    if ":dead:" in key:
        return fields["payload"], counted(json.loads(fields["info"]))
    if key.startswith((f"{SHARD}:open:", f"{SHARD}:cancels")):
        return {name: value.decode() for name, value in fields.items()}
    return {name: _fact(name, value) for name, value in fields.items()}


def _fact(name: str, value: bytes) -> Any:
    if name.startswith("watch:"):
        return _watch(value)
    return value.decode() if name.startswith(("limits", "keep:")) else int(value)


def _watch(value: bytes) -> tuple[int, str]:
    due, _, worker = value.decode().partition(":")
    return int(due), worker


def _side(value: bytes) -> dict[str, Any]:
    noted = json.loads(value)
    return counted(noted) | {"p": noted.get("p")}


def _stream(key: str, content: list[tuple[bytes, list[bytes]]], ttl: int) -> list[tuple[Any, ...]]:
    _see_whether_it_ends(key, ttl, ends=False)
    return sorted(
        (job_id.decode(), *_record(record))
        for _, fields in content
        for job_id, record in zip(fields[::2], fields[1::2], strict=True)
    )


def _record(record: bytes) -> tuple[Any, ...]:
    told = json.loads(record.partition(b"\n")[0])
    if told[0] not in UNTOLD_MARKS:
        mark, move = told
        return *_run(mark), move
    run = UntoldRun(*told)
    move = run.mark if run.mark == CANCELLED_MARK else run.transition
    return run.worker, run.started_at, run.attempt, run.scheduled_for, move


_READERS: dict[bytes, Any] = {
    b"string": _string,
    b"zset": _zset,
    b"hash": _hash,
    b"stream": _stream,
    b"list": _list,
    b"set": lambda _key, content, _ttl: {member.decode() for member in content},
}
