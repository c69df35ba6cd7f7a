"""Who acts on a shard, and how: clients, workers, and time. What they do when is the machine's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jobsd.store.jobs import Ending, Lease, NewJob, Quota
from tests.model.calls import Calls
from tests.model.drawn import NO_GATE, QUEUES, TASKS, nth
from tests.model.limited import parts_of
from tests.model.recovery import LEASE_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.model.drawn import Gate, Moves, Wanted
    from tests.model.live import Job

AN_HOUR_MS = 3_600_000
A_WHILE_MS = 20_000


class Hand:
    """A worker. ``held`` is what it knows to be its own; ``unanswered`` the claim whose answer was lost."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.claims = self.batches = 0
        self.held: list[Lease] = []
        self.unanswered: tuple[Any, ...] | None = None


class People:
    """One client, three workers and a bystander, on an empty database."""

    def __init__(self, url: str, variants: Mapping[str, str]) -> None:
        self.calls = Calls(url, variants, QUEUES)
        self.reference = self.calls.reference
        self.hands = [Hand(f"w{n}") for n in range(1, 4)]
        self.hired = len(self.hands)
        self.enqueued = self.calls_sent = 0
        for ms in (0, LEASE_MS // 2, LEASE_MS // 2):  # the amnesty of a fresh server
            self.calls.pass_time(ms)
            self.beat(Hand("bystander"))

    # --- clients ------------------------------------------------------------------------------------------

    def enqueue(self, jobs: Sequence[Wanted]) -> None:
        self.calls_sent += 1
        self.calls.enqueue(self.calls_sent, [self._new_job(*job) for job in jobs])

    def _new_job(self, queue: str, job_id: str | None, when: str, limits: tuple[str, str]) -> NewJob:
        self.enqueued += 1
        text, how = limits
        due = str(self.reference.now + int(when)) if when.startswith("-") else when
        due = "" if how[:1] in set("da") else due  # their rule says when
        job: dict[str, Any] = {"i": f"{self.enqueued:012}"} | ({"l": text} if text else {})
        job |= {"t": None, "f": TASKS[self.enqueued % 2], "k": {}, "et": 1, "a": []}
        if how.startswith("a"):  # as encode_payload does: where items are added, the arguments stand last
            job["a"] = [[f'{self.enqueued}]]}}"a":[[{n}' for n in range((1, 1, 1, 2, 1, 4)[self.enqueued % 6])]]
            how = how.format(len(job["a"][0]))
        payload = json.dumps(job, separators=(",", ":")).encode()
        return NewJob(queue, job_id or f"new-{self.enqueued}", f"{due} {how}" if text or how else due, payload)

    # --- workers ------------------------------------------------------------------------------------------

    def claim(self, hand: int, quotas: Sequence[tuple[str, int, Gate]], slots: int, *, answered: bool = True) -> Hand:
        worker = self.hands[hand]
        worker.claims += 1
        plan = [Quota(queue, quota, self._gate(gate)) for queue, quota, gate in quotas]
        call = (worker.name, worker.claims, plan, slots)
        for queue, _, _ in quotas:
            self.calls.take_token(queue)  # by which it was woken
        leases = self.calls.claim(*call)
        if answered:
            worker.held += leases
        worker.unanswered = None if answered else call
        return worker

    def _gate(self, gate: Gate) -> str:
        most, *times = gate
        opens, closes = ("" if ms is None else self.reference.now + ms for ms in times)
        return "" if gate == NO_GATE else f"{most}:{opens}:{closes}"

    def finish(self, hand: int, moves: Moves) -> None:
        """A worker that holds leases ends some of them."""
        if holding := self.those(lambda worker: worker.held):
            worker = nth(holding, hand)
            self.end(worker, worker.held, moves)

    def say_keep(self, hand: int, queue: str, keep: tuple[int, int, int], *, lowered: bool) -> None:
        """Say what a queue keeps, and complete some; where it is ``lowered``, those come first, and are trimmed."""
        self.calls.keep(queue, *((3, *keep[1:]) if lowered else keep))
        self.enqueue([(queue, None, "", ("", ""))] * 3)
        self.claim(hand, [(queue, 3, NO_GATE)], 3)
        self.finish(hand, [(n, "C", 0) for n in range(3)])
        if lowered:
            self.calls.keep(queue, *keep)
            self.calls.trim(queue, 0, 0)

    def end(self, worker: Hand, leases: Sequence[Lease], moves: Moves) -> None:
        endings = [self._ending(nth(leases, place), *how) for place, *how in moves]  # some of one lease, maybe
        worker.batches += 1
        self.calls.finish(worker.name, worker.batches, endings)
        ended = {ending.lease.mark for ending in endings}
        worker.held = [lease for lease in worker.held if lease.mark not in ended]

    def _ending(self, lease: Lease, move: str, delay: int) -> Ending:
        """Write an ending as a worker does: from what its lease told it, with ``n`` and one more of what it counts."""
        payload: dict[str, Any] = json.loads(lease.payload or b"{}")
        if move in "PL" and self._has_begun(lease):
            move = "Q"
        told = {name: value for name, value in json.loads(lease.side or "{}").items() if name != "p"}
        counted = {"R": "f", "A": "f", "Q": "x"}.get(move)
        noted = told | {"n": lease.attempt} | ({counted: told.get(counted, 0) + 1} if counted else {})
        at, data, result = self.reference.now + delay, json.dumps(noted), b""
        match move:
            case "C" | "D":
                at, data = delay or A_WHILE_MS, ""
            case "A":
                at = AN_HOUR_MS
            case "Q":
                at = lease.due
                data = "" if delay == 1 and not self._has_begun(lease) else data
            case "P":
                at, data = lease.due, f"task:{payload['f']}"
            case "L":
                at, data = lease.due, _relabelled(payload.get("l", ""), "r=s" if delay else "r=t")
        if move in "CA" and delay != 1:
            result = (lease.payload or b"")[:19] + b"}"
        record = b"" if move in "PL" or (move == "Q" and not data) else json.dumps([lease.mark, move]).encode()
        return Ending(lease, move, at, data, result, record)

    def _has_begun(self, lease: Lease) -> bool:
        """A job that told its progress has begun to run: it is not given back as if it had not."""
        return self.reference.holds(lease) and "p" in self.reference.live[lease.id].noted

    def beat(self, worker: Hand) -> None:
        self.calls.extend(worker.name, list(worker.held))
        worker.held = [lease for lease in worker.held if self.reference.holds(lease)]

    def those(self, which: Callable[[Hand], Any]) -> list[Hand]:
        return [worker for worker in self.hands if which(worker)]

    def replace(self, hand: int) -> Hand:
        """Let another take the place of a worker; return the one that went."""
        self.hired += 1
        gone, self.hands[hand] = self.hands[hand], Hand(f"w{self.hired}")
        self.calls.gone(gone.name)
        return gone

    # --- time, and what there is ----------------------------------------------------------------------------

    def let_time_pass(self, ms: int, beating: Sequence[Hand]) -> None:
        """Let time pass while some beat, and a bystander, three times a lease."""
        while ms > 0:
            self.calls.pass_time(min(ms, LEASE_MS // 3))
            ms -= LEASE_MS // 3
            for worker in (Hand("bystander"), *beating):
                self.beat(worker)

    def openings(self) -> list[int]:
        """Return when starts no longer count under their rates."""
        rates = self.reference.limits
        counted = [(start, rates.at(place)) for place, starts in rates.starts.items() for start in starts]
        opens = [start.at + limit.window + 1 for start, limit in counted if limit.window]
        return [at for at in opens if at > self.reference.now]

    def jobs(self, kind: str) -> list[Job]:
        """Return the live jobs of a kind; all, if there are none of it."""
        opened = {job.id for job in self.reference.open.values()}
        parked = {job_id for _, _, job_id in self.reference.parked}
        live = list(self.reference.live.values())
        found = {
            "in a lane": [
                job for job in live if parts_of(job.limits) and not job.mark and job.at <= self.reference.now
            ],
            "retry": [job for job in live if job.retry_at is not None],
            "parked": [job for job in live if job.id in parked],
            "unique": [job for job in live if "u=" in job.limits],
            "open": [job for job in live if job.id in opened],
        }
        return found.get(kind) or live


def _relabelled(limits: str, resource: str) -> str:
    """Return what the worker's task says a job is limited by: one resource."""
    parts = [*(part for part in limits.split(",") if part and part[0] != "r"), resource]
    return ",".join(sorted(parts, key=lambda part: "kruo".index(part[0])))
