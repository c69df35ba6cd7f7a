"""When something of a queue may be leased, read from what is stored alone: nothing here knows the reference."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from jobsd.store.keys import IN_PROGRESS, base_key
from jobsd.store.limits import Limits
from tests.model.layout import SHARD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.rate import Rate
    from jobsd.store.jobs import Quota
    from tests.model.layout import Sight

NEVER = 9 * 10**15


class Bound(NamedTuple):
    """One limit: the key of its starts, how many leases there are under it, how many there may be, and the rate."""

    starts: str
    running: int
    most: int | None
    rate: Rate | None


def opening(sight: Sight, quota: Quota, now: int, *, with_leases: bool = True) -> int | None:
    """Return from when on there is something to do; None: nothing, or not before a lease ends.

    ``with_leases``: a lease that runs out is something to do.
    """
    base = base_key(quota.queue)
    active = sight.picture.get(f"{base}:active", {})
    heads = [at for job_id, at in sight.scores[base].items() if with_leases or job_id not in active]
    heads += [at for at in closed_of(sight, quota.queue).values() if at < NEVER]
    heads += [0] if turns_of(sight, quota.queue) else []
    if not heads or is_paused(sight, quota.queue):
        return None
    at = opens_at(sight, quota, now)
    return None if at == NEVER else max(at, min(heads))


def opens_at(sight: Sight, quota: Quota, now: int) -> int:
    """Return when the queue's own limits, and this worker's, let a job start: 0 if they do now."""
    _, opens, closes = quota.gate.split(":") if quota.gate else ("", "", "")
    if opens and now < int(opens):
        return int(opens)
    if closes and now >= int(closes):
        return now + 1000
    return has_room_at(sight, _bound_of_queue(sight, quota.queue), now)


def has_room_at(sight: Sight, bound: Bound, now: int) -> int:
    """Return when a limit lets a job start: 0 if it does now, NEVER if not before a lease ends."""
    if bound.most is not None and bound.running >= bound.most:
        return NEVER
    if bound.rate:
        starts, rate = list(sight.picture.get(bound.starts, [])), bound.rate
        while starts and abs(now - starts[0]) > rate.window_ms:
            starts.pop(0)
        if len(starts) >= rate.count:
            return starts[-rate.count] + rate.window_ms + 1
    return 0


def room_of_lane_at(sight: Sight, queue: str, lane: str, now: int) -> int:
    return max(has_room_at(sight, bound_of(sight, queue, part), now) for part in parts_of(lane))


def bound_of(sight: Sight, queue: str, part: str) -> Bound:
    """Return the limit of a limit key or a resource."""
    base, shared = base_key(queue), part.startswith("r=")
    running = sum(part in parts_of(mark) for owner, mark in marks(sight) if shared or owner == base)
    limits = limits_of(sight, part if shared else base)
    if shared:
        return Bound(f"{SHARD}:starts:{part}", running, limits.concurrency, limits.rate)
    return Bound(f"{base}:starts:{part}", running, limits.key_concurrency, limits.key_rate)


def _bound_of_queue(sight: Sight, queue: str) -> Bound:
    base = base_key(queue)
    limits = limits_of(sight, base)
    return Bound(f"{base}:starts", len(sight.picture.get(f"{base}:active", {})), limits.concurrency, limits.rate)


def limits_of(sight: Sight, name: str) -> Limits:
    return Limits.from_text(sight.picture.get(f"{SHARD}:state", {}).get(f"limits:{name}", ""))


def marks(sight: Sight) -> list[tuple[str, str]]:
    """Return the base key and the mark of every lease."""
    return [
        (key.removesuffix(":active"), sight.picture.get(IN_PROGRESS + job_id, ""))
        for key, leases in sight.picture.items()
        if key.endswith(":active")
        for job_id in leases
    ]


def parts_of(mark: str) -> list[str]:
    """Return the limit keys and resources that a mark, or a lane, names."""
    return re.findall("(?:^|,|:(?=[kruo]=))([kr]=[^,]+)", mark)


def lanes_in(sight: Sight, queue: str) -> dict[str, dict[str, int]]:
    """Return what waits in each lane of a queue."""
    start = f"{base_key(queue)}:lane:"
    return {key.removeprefix(start): jobs for key, jobs in sight.picture.items() if key.startswith(start)}


def turns_of(sight: Sight, queue: str) -> Sequence[str]:
    return sight.picture.get(f"{base_key(queue)}:turns", [])


def closed_of(sight: Sight, queue: str) -> dict[str, int]:
    return sight.picture.get(f"{base_key(queue)}:closed", {})


def behind_in(sight: Sight, queue: str) -> dict[str, dict[str, int]]:
    """Return which lanes wait for a lease under each limit to end."""
    start = f"{base_key(queue)}:behind:"
    return {key.removeprefix(start): lanes for key, lanes in sight.picture.items() if key.startswith(start)}


def is_paused(sight: Sight, queue: str) -> bool:
    return f"paused:{base_key(queue)}" in sight.picture.get(f"{SHARD}:state", {})


def waiting(sight: Sight, queue: str, now: int) -> list[tuple[int, str]]:
    """Return what is due, not leased and in no lane."""
    base = base_key(queue)
    active = sight.picture.get(f"{base}:active", {})
    return [(at, job_id) for job_id, at in sight.scores[base].items() if at <= now and job_id not in active]
