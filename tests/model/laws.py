"""What must be so in Redis whatever was called: nothing here knows the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.store.keys import FIRST_TIME, IN_PROGRESS, JOB, LANED, PARKED, RESULT, base_key
from tests.model.layout import SHARD
from tests.model.openings import lanes_in, opening, opens_at, parts_of, waiting

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from jobsd.store.jobs import Claimed, Quota
    from tests.model.layout import Picture, Sight


def broken_by(sight: Sight, queues: Iterable[str], disturbed: Collection[str]) -> Iterator[str]:
    """Tell what is wrong with what is stored. Jobs whose score arq has changed may stand in two places for a while."""
    for job_id, states in _live_states(sight, queues).items():
        if len(states) != 1 or (states[0] not in _STATES.values() and job_id not in disturbed):
            yield f"the live job {job_id} is in the states {states}"
    for job_id, states in _ended_states(sight.picture, queues).items():
        if JOB + job_id in sight.picture:
            yield f"{job_id} is live and {states}"
    for place, tokens in {**sight.tokens, **sight.cancel_tokens}.items():
        if tokens > 1:
            yield f"{tokens} tokens lie in {place}"


def broken_by_claim(  # noqa: C901 - one law after the other
    before: Sight, sight: Sight, claimed: Claimed, quotas: Sequence[Quota], slots: int
) -> Iterator[str]:
    """Tell what is wrong with new leases, in the light of what was stored before, and is now."""
    heads: list[int] = []
    full = len(claimed.leases) >= slots
    if len(claimed.leases) > slots:
        yield "more was given than asked for"
    for quota in quotas:
        leases = [lease for lease in claimed.leases if lease.queue == quota.queue]
        given = [(lease.due, lease.id) for lease in leases if not parts_of(lease.mark)]
        left = waiting(sight, quota.queue, claimed.now)
        head, opens = opening(sight, quota, claimed.now), opens_at(sight, quota, claimed.now)
        if leases and (_is_shut(sight, quota, claimed.now) or len(leases) > _most(quota)):
            yield f"{len(leases)} were given from {quota}"
        if given and max(given)[0] > claimed.now:
            yield f"{max(given)} was given before it was due"
        if given and left and max(given) > min(left):
            yield f"{max(given)} was given before {min(left)}"
        for lane, jobs in lanes_in(sight, quota.queue).items():
            stood = lanes_in(before, quota.queue).get(lane, {})
            line = [(lease.due, lease.id) for lease in leases if lease.id in stood]
            behind = [(stood[job_id], job_id) for job_id in jobs if job_id in stood]
            if line and behind and max(line) > min(behind):
                yield f"{max(line)} was given before {min(behind)} in {lane}"
        passed_on = full or len(leases) == _most(quota)
        has_room = not opens and not passed_on and not _is_shut(sight, quota, claimed.now)
        if left and has_room and (not leases or claimed.look_at is None or claimed.look_at > claimed.now):
            yield f"{left} are due, and there were free slots"
        if head is not None and (full or not passed_on):
            heads.append(max(head, 0))
    if claimed.next_due != min(heads, default=None):
        yield f"the next due time is {min(heads, default=None)}, not {claimed.next_due}"


def broken_by_watch(sight: Sight, worker: str, claimed: Claimed, quotas: Sequence[Quota], slots: int) -> Iterator[str]:
    """Tell for which queue nobody will be there when its next job may start, in the light of what is stored now."""
    for quota in quotas:
        queue, base = quota.queue, base_key(quota.queue)
        taken = sum(lease.queue == queue for lease in claimed.leases)
        passed_on = len(claimed.leases) >= slots or taken == _most(quota)
        head = opening(sight, quota, claimed.now)
        due, watcher = sight.watches.get(base, (0, None))
        active, own = sight.picture.get(f"{base}:active", {}), sight.picture.get(base, {})
        if watcher == worker and (passed_on or head is None):
            yield f"{worker} watches {queue}, which is not for it"
        if head is None:
            continue
        if passed_on and len(own) > len(active) and watcher is None and not sight.tokens[base]:
            yield f"nobody is there when the next job of {queue} falls due"
        if not passed_on and claimed.now < head:
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
        timed = new.keys() & sight.scores[base].keys()
        if sight.tokens[base] or waiting(sight, queue, now) or not timed:
            continue
        due, _ = sight.watches.get(base, (None, None))
        head, first = min((at, job_id) for job_id, at in sight.scores[base].items())
        if due is None or (first in timed and due > head):
            yield f"nobody learns of the new job of {queue}"


def _most(quota: Quota) -> int:
    return int((quota.gate.split(":")[0] if quota.gate else "") or 1000)


def _is_shut(sight: Sight, quota: Quota, now: int) -> bool:
    _, opens, closes = quota.gate.split(":") if quota.gate else ("", "", "")
    paused = f"paused:{base_key(quota.queue)}" in sight.picture.get(f"{SHARD}:state", {})
    return paused or now < int(opens or 0) or (bool(closes) and now >= int(closes))


def _live_states(sight: Sight, queues: Iterable[str]) -> dict[str, list[str]]:
    """Return the states, by the keys, of every job that has a payload, a mark or a place in a queue."""
    picture = sight.picture
    found = {job_id: [] for prefix in (JOB, IN_PROGRESS) for job_id in _ids(picture, prefix)}
    for queue in queues:
        base = base_key(queue)
        active = picture.get(f"{base}:active", {})
        parked = {job_id for key in picture if key.startswith(f"{base}:parked:") for job_id in picture[key]}
        lanes = [job_id for jobs in lanes_in(sight, queue).values() for job_id in jobs]
        for job_id, at in picture.get(base, {}).items():
            kind = "time" if at >= FIRST_TIME else _score(at)
            marks = (IN_PROGRESS + job_id in picture, job_id in active, job_id in parked, lanes.count(job_id), kind)
            found.setdefault(job_id, []).append(_STATES.get(marks, f"none: {marks}"))
            if JOB + job_id not in picture:
                found[job_id].append("without payload")
        for job_id in active.keys() - picture.get(base, {}).keys():
            found.setdefault(job_id, []).append("in no queue")
    return found


_STATES = {
    (False, False, False, 0, "time"): "waiting",
    (True, True, False, 0, "time"): "active",
    (False, False, True, 0, PARKED): "parked",
    (False, False, False, 1, LANED): "in a lane",
}


def _score(at: int) -> int:
    return min((PARKED, LANED), key=lambda score: abs(score - at))


def _ids(picture: Picture, prefix: str) -> list[str]:
    return [key.removeprefix(prefix) for key in picture if key.startswith(prefix)]


def _ended_states(picture: Picture, queues: Iterable[str]) -> dict[str, list[str]]:
    """Return the jobs that are kept with a result."""
    found = {job_id: ["ended with a result"] for job_id in _ids(picture, RESULT)}
    for queue in queues:
        for job_id in picture.get(f"{base_key(queue)}:completed", {}):
            found.setdefault(job_id, []).append("completed")
    return found
