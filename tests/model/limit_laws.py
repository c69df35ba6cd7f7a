"""What must be so of limits, lanes and keys whatever was called: nothing here knows the reference."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from jobsd.store.jobs import Holder
from jobsd.store.keys import IN_PROGRESS, JOB, base_key
from tests.model.layout import SHARD
from tests.model.openings import (
    NEVER,
    behind_in,
    bound_of,
    closed_of,
    is_paused,
    lanes_in,
    limits_of,
    opens_at,
    parts_of,
    room_of_lane_at,
    turns_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jobsd.rate import Rate
    from jobsd.store.jobs import Claimed, Lease, NewJob, Quota
    from tests.model.layout import Picture, Sight

_LONGEST_WINDOW_MS = 24_001  # of the rates that are drawn


def lanes_broken_by(sight: Sight, queues: Iterable[str]) -> Iterator[str]:
    """Tell which lane has no turn, or waits for a lease that nobody has."""
    for queue in queues:
        lanes, turns, closed, behind = (find(sight, queue) for find in (lanes_in, turns_of, closed_of, behind_in))
        if sorted(lanes) != sorted([*turns, *closed]):
            yield f"{queue} has the lanes {sorted(lanes)}; {turns} are in turn, {sorted(closed)} closed"
        waiting = sorted(lane for line in behind.values() for lane in line)
        if waiting != sorted(lane for lane, at in closed.items() if at == NEVER):
            yield f"in {queue} {waiting} wait for leases to end; of {closed}"
        coming = [
            part for lane in {*turns, *(lane for lane, at in closed.items() if at < NEVER)} for part in parts_of(lane)
        ]
        for part, line in behind.items():
            bound = bound_of(sight, queue, part)
            if any(part not in parts_of(lane) for lane in line):
                yield f"{sorted(line)} of {queue} wait for {part}"
            if part not in coming and (bound.most is None or bound.running < bound.most):
                yield f"{sorted(line)} of {queue} wait for {part}, which has room: {bound}"


def keys_broken_by(picture: Picture) -> Iterator[str]:
    """Tell which key is held by no job, or by one that is not its own."""
    for key, value in picture.items():
        kind, _, digest = key.removeprefix(f"{SHARD}:").partition(":")
        match kind:
            case "unique":
                base, job_id = value.split(" ")
                if f"u={digest}/" not in _limits_of(picture, job_id) or job_id not in picture.get(base, {}):
                    yield f"{key} is held by {value}"
            case "open":
                job_id = value["id"]
                waits = job_id in picture.get(value["base"], {}) and IN_PROGRESS + job_id not in picture
                if f"o={digest}" not in _limits_of(picture, job_id) or not waits:
                    yield f"{key} is open with {value}"
            case "cancels":
                for job_id, told in value.items():
                    if told.partition(" ")[2] != picture.get(IN_PROGRESS + job_id):
                        yield f"{job_id} is to be cancelled, {told}, and has no such run"


def _limits_of(picture: Picture, job_id: str) -> str:
    return json.loads(picture.get(JOB + job_id, b"{}")).get("l", "")


def limits_broken_by(sight: Sight, leases: Iterable[Lease]) -> Iterator[str]:
    """Tell under which limit there are more leases than it allows, now that there are these new ones."""
    for queue, part in {(lease.queue, part) for lease in leases for part in parts_of(lease.mark)}:
        bound = bound_of(sight, queue, part)
        if bound.most is not None and bound.running > bound.most:
            yield f"{bound.running} leases are under {part} of {queue}, which allows {bound.most}"
    for queue in {lease.queue for lease in leases}:
        most = limits_of(sight, base_key(queue)).concurrency
        active = sight.picture.get(f"{base_key(queue)}:active", {})
        if most is not None and len(active) > most:
            yield f"{len(active)} jobs of {queue} run, which allows {most}"


def turns_broken_by(
    before: Sight, sight: Sight, claimed: Claimed, quotas: Sequence[Quota], slots: int, *, put_back: bool
) -> Iterator[str]:
    """Tell which lane was passed over, though it has room: another was served that stood behind it, or had its turn.

    One that was served stands behind all others then. With free slots every lane is; ``put_back``: unless it is closed
    until a time of a clock that was put back.
    """
    now, free = claimed.now, len(claimed.leases) < slots
    for quota in quotas:
        queue = quota.queue
        leases = [lease for lease in claimed.leases if lease.queue == queue]
        stood, stand = lanes_in(before, queue), lanes_in(sight, queue)
        turns, next_turns = list(turns_of(before, queue)), list(turns_of(sight, queue))
        served = {",".join(parts_of(lease.mark)) for lease in leases}
        most = int((quota.gate.partition(":")[0] if quota.gate else "") or slots)
        goes_on = free and len(leases) < most and not is_paused(sight, queue) and not opens_at(sight, quota, now)
        with_room = [lane for lane in stand if not room_of_lane_at(sight, queue, lane, now)]
        for lane in with_room if goes_on and not put_back else ():
            if now < closed_of(sight, queue).get(lane, 0) < NEVER:
                yield f"{lane} of {queue} has room, and is closed: {closed_of(sight, queue)}"
        for lane in turns:
            if lane not in with_room or lane in served or _first(stood[lane]) != _first(stand[lane]):
                continue
            if goes_on and not claimed.leases:  # else it may be the next claim's, which comes at once
                yield f"{lane} of {queue} has room, and was not served"
            if served & set(turns[turns.index(lane) :]):
                yield f"{served} were served before {lane}, out of {turns}"
            if lane in next_turns and served & set(next_turns[: next_turns.index(lane)]):
                yield f"{served} were served, and do not stand behind {lane} now: {next_turns}"


def _first(jobs: dict[str, int]) -> tuple[int, str] | None:
    return min(((due, job_id) for job_id, due in jobs.items()), default=None)


class Windows:
    """The starts under each rate, by the answers: no window, its edges included, has more than its count.

    Those of jobs that went back without having begun are none.
    """

    def __init__(self) -> None:
        self._starts: dict[tuple[str, str], list[int]] = defaultdict(list)

    def forget(self, name: str | None = None) -> None:
        """What limits a queue or a resource has changed; or the clock was put back, and windows mean nothing."""
        for owner, part in list(self._starts):
            if name in {None, owner, part}:
                del self._starts[owner, part]

    def give_back(self, lease: Lease) -> None:
        shared = {("" if part.startswith("r=") else lease.queue, part) for part in parts_of(lease.mark)}
        for place in {(lease.queue, ""), *shared}:
            if lease.started_at in self._starts[place]:  # there may have been no rate then
                self._starts[place].remove(lease.started_at)

    def broken_by(self, sight: Sight, leases: Iterable[Lease]) -> Iterator[str]:
        for lease in leases:
            own = limits_of(sight, base_key(lease.queue))
            rates = {(lease.queue, ""): own.rate}
            for part in parts_of(lease.mark):
                shared = part.startswith("r=")
                rates["" if shared else lease.queue, part] = limits_of(sight, part).rate if shared else own.key_rate
            for place, rate in rates.items():
                yield from self._note(place, rate, lease.started_at)

    def _note(self, place: tuple[str, str], rate: Rate | None, at: int) -> Iterator[str]:
        if rate is None:
            return
        starts = self._starts[place]
        starts.append(at)
        if sum(at - rate.window_ms <= start <= at for start in starts) > rate.count:
            yield f"under {place}, {rate}, there were starts at {starts}"


class Closings:
    """Which lane waits for a time though it has room. Where the clock was put back that may be, for a while."""

    def __init__(self) -> None:
        self._steady_from = 0

    def put_back(self, latest: int) -> None:
        self._steady_from = latest + _LONGEST_WINDOW_MS

    def broken_by(self, sight: Sight, queues: Iterable[str], now: int) -> Iterator[str]:
        for queue in queues if now > self._steady_from else ():
            for lane, until in closed_of(sight, queue).items():
                if now < until < NEVER and not room_of_lane_at(sight, queue, lane, now):
                    yield f"{lane} of {queue} has room, and is closed until {until}"


class Items:
    """What the calls that were aggregated brought, by the answers: their job has that, each once, in order."""

    def __init__(self) -> None:
        self._of: dict[str, list[Any]] = {}
        self._most: dict[str, int] = {}

    def note(self, jobs: Sequence[NewJob], answers: Sequence[bool | Holder]) -> None:
        first = sorted(zip(jobs, answers, strict=True), key=lambda pair: " " in pair[0].when)
        for job, answer in first:
            _, _, rule = job.when.partition(" a=")
            taken = answer.id if isinstance(answer, Holder) and answer.joined else job.id if answer is True else None
            if taken is None:
                continue
            own = json.loads(job.payload)["a"]
            if not rule:
                self._of.pop(taken, None)
            elif isinstance(answer, Holder):
                self._of[taken] = self._of[taken] + own[0]
                self._most[taken] = int(rule.split("/")[2])
            else:
                self._of[taken], self._most[taken] = own[0], len(own[0])

    def broken_by(self, picture: Picture) -> Iterator[str]:
        for job_id, items in self._of.items():
            payload = picture.get(JOB + job_id)
            found = json.loads(payload)["a"] if payload else [items]
            if found != [items]:
                yield f"{job_id} has {found}; the calls that it took in brought {items}"
            if len(items) > self._most[job_id]:
                yield f"{job_id} has {len(items)} items, more than {self._most[job_id]}"
