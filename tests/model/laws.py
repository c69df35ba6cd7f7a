"""What must be so in Redis whatever was called: nothing here knows the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.store.keys import IN_PROGRESS, JOB, PARKED, RESULT, base_key
from tests.model.layout import SHARD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jobsd.store.jobs import Claimed
    from tests.model.layout import Picture, Sight


def broken_by(sight: Sight, queues: Iterable[str]) -> Iterator[str]:
    """Tell what is wrong with what is stored."""
    for job_id, states in _live_states(sight.picture, queues).items():
        if len(states) != 1:
            yield f"the live job {job_id} is in the states {states}"
    for job_id, states in _ended_states(sight.picture, queues).items():
        if JOB + job_id in sight.picture:
            yield f"{job_id} is live and {states}"
    for base, tokens in sight.tokens.items():
        if tokens > 1:
            yield f"{tokens} wake tokens lie in {base}"


def broken_by_claim(sight: Sight, claimed: Claimed, quotas: Mapping[str, int], slots: int) -> Iterator[str]:
    """Tell what is wrong with new leases, in the light of what is stored now."""
    heads: list[int] = []
    if len(claimed.leases) > slots:
        yield "more was given than asked for"
    for queue in quotas:
        base = base_key(queue)
        given = [(lease.due, lease.id) for lease in claimed.leases if lease.queue == queue]
        left = waiting(sight, queue, claimed.now)
        if is_paused(sight, queue):
            if given:
                yield f"{given} were given from the paused {queue}"
            continue
        heads += sight.scores[base].values()
        if given and max(given)[0] > claimed.now:
            yield f"{max(given)} was given before it was due"
        if given and left and max(given) > min(left):
            yield f"{max(given)} was given before {min(left)}"
        if left and len(claimed.leases) < slots:
            yield f"{left} are due, and there were free slots"
    next_due = min(heads, default=PARKED)
    if claimed.next_due != (next_due if next_due < PARKED else None):
        yield f"the next due time is {next_due}, not {claimed.next_due}"


def broken_by_watch(
    sight: Sight, worker: str, claimed: Claimed, quotas: Mapping[str, int], slots: int
) -> Iterator[str]:
    """Tell for which queue nobody will be there when its next job falls due, in the light of what is stored now."""
    full = len(claimed.leases) >= slots
    own = [due for base, (due, watcher) in sight.watches.items() if watcher == worker and base in map(base_key, quotas)]
    if full and own:
        yield f"{worker} has no free slot, and watches {own}"
    for queue in quotas:
        base = base_key(queue)
        head = min(sight.scores[base].values(), default=PARKED)
        due, watcher = sight.watches.get(base, (PARKED, None))
        if is_paused(sight, queue):
            continue
        if head == PARKED and watcher == worker:
            yield f"{worker} watches the empty {queue}"
        active = sight.picture.get(f"{base}:active", {})
        waits = any(at < PARKED and job_id not in active for job_id, at in sight.scores[base].items())
        if full and waits and watcher is None and not sight.tokens[base]:
            yield f"nobody is there when the next job of {queue} falls due"
        if not full and claimed.now < head < PARKED:
            if watcher is None or due > head:
                yield f"nobody watches {queue}, of which a job falls due at {head}"
            elif watcher == worker and (claimed.look_at is None or claimed.look_at > head):
                yield f"{worker} is to look at {claimed.look_at}, and to be there at {head}"
            elif watcher != worker and watcher not in sight.picture.get(f"{SHARD}:workers", {}):
                yield f"{watcher} watches {queue}, and lives no more"


def broken_by_enqueue(sight: Sight, new: Mapping[str, str], now: int) -> Iterator[str]:
    """Tell for which queue a new job (id -> queue) may fall due with nobody there."""
    for queue in set(new.values()):
        base = base_key(queue)
        if sight.tokens[base] or waiting(sight, queue, now):
            continue
        due, _ = sight.watches.get(base, (None, None))
        head, first = min((at, job_id) for job_id, at in sight.scores[base].items())
        if due is None or (first in new and due > head):
            yield f"nobody learns of the new job of {queue}"


def is_paused(sight: Sight, queue: str) -> bool:
    return f"paused:{base_key(queue)}" in sight.picture.get(f"{SHARD}:state", {})


def waiting(sight: Sight, queue: str, now: int) -> list[tuple[int, str]]:
    """Return what is due and not leased."""
    base = base_key(queue)
    active = sight.picture.get(f"{base}:active", {})
    return [(at, job_id) for job_id, at in sight.scores[base].items() if at <= now and job_id not in active]


def _live_states(picture: Picture, queues: Iterable[str]) -> dict[str, list[str]]:
    """Return the states, by the keys, of every job that has a payload, a mark or a place in a queue."""
    found = {job_id: [] for prefix in (JOB, IN_PROGRESS) for job_id in _ids(picture, prefix)}
    for queue in queues:
        base = base_key(queue)
        active = picture.get(f"{base}:active", {})
        parked = {job_id for key in picture if key.startswith(f"{base}:parked:") for job_id in picture[key]}
        for job_id, at in picture.get(base, {}).items():
            marks = (
                IN_PROGRESS + job_id in picture,
                job_id in active,
                job_id in parked,
                at is not None and at < PARKED,
            )
            found.setdefault(job_id, []).append(_STATES.get(marks, f"none: {marks}"))
            if JOB + job_id not in picture:
                found[job_id].append("without payload")
        for job_id in active.keys() - picture.get(base, {}).keys():
            found.setdefault(job_id, []).append("in no queue")
    return found


_STATES = {(False, False, False): "waiting", (True, True, False): "active", (False, False, True): "parked"}


def _ids(picture: Picture, prefix: str) -> list[str]:
    return [key.removeprefix(prefix) for key in picture if key.startswith(prefix)]


def _ended_states(picture: Picture, queues: Iterable[str]) -> dict[str, list[str]]:
    """Return the jobs that are kept with a result."""
    found = {job_id: ["ended with a result"] for job_id in _ids(picture, RESULT)}
    for queue in queues:
        for job_id in picture.get(f"{base_key(queue)}:completed", {}):
            found.setdefault(job_id, []).append("completed")
    return found
