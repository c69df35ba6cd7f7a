"""What may happen to the jobs of a shard, in any order: workers, clients, operators, arq, a bad network and time."""

from __future__ import annotations

import json
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jobsd.store.jobs import Ending, Lease, NewJob, Quota
from jobsd.store.keys import FIRST_TIME
from tests.model.calls import Calls
from tests.model.recovery import LEASE_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

QUEUES = ("default", "arq:queue")
IDS = tuple(f"job-{n}" for n in range(10))
TASKS = ("x", "y")
REASONS = tuple(f"task:{task}" for task in TASKS)
AN_HOUR_MS = 3_600_000
A_WHILE_MS = 20_000

# What a job is limited by, and its rule (see taking.lua). "d" and "a" have no due time of their own.
LANED = [
    ("k=a", ""),
    ("k=a", ""),
    ("k=b:1", ""),
    ("r=s", ""),
    ("k=a,r=s", ""),
    ("k=b:1,r=s,r=t", ""),
    (f"k=b:1,r=t,u={'1' * 24}/60000", ""),
]
KEYED = [
    (f"u={'1' * 24}/60000", ""),
    (f"r=s,u={'2' * 24}/60000", ""),
    ("", f"t={'3' * 24}/60000"),
    ("k=a", f"t={'3' * 24}/60000"),
    (f"o={'4' * 24}", "d=1000"),
    (f"k=a,o={'5' * 24}", "d=1000"),
    (f"k=b:1,o={'5' * 24}", "d=0"),
    (f"o={'6' * 24}", "a=1000/1500/3/{}/400"),
    (f"o={'6' * 24}", "a=1000/1500/3/{}/160"),
    (f"k=a,o={'7' * 24}", "a=700/9000/4/{}/400"),
]
LIMITS = [("", "")] * 12 + LANED + KEYED
QUEUE_LIMITS = [
    "1:::::||",
    "2:::::|2|",
    ":1:6000:::||",
    ":2:24000:1::||22:00-06:00 UTC",
    ":::1::||",
    ":::1:2:6000||",
    ":::2:1:6000||",
    ":::::||",
]
RESOURCE_LIMITS = ["1:::::||", "1:::::||", "2:::::||", ":1:6000:::||", "2:2:24000:::||", ":::::||"]
# Of which some fields are kept.
CHANGES = ["*:*:*:1:*:*|*|*", ":*:*:*:*:*|*|*", "*:::*:*:*|*|*", "2:*:*:::|*|"]

queues = st.sampled_from(QUEUES)
some_queues = st.sampled_from([QUEUES, QUEUES[::-1], QUEUES[:1]])
ids = st.sampled_from(IDS)
hands = st.integers(0, 2)  # which of the workers that are up
places = st.integers(0, 30)  # which of a list, counted from its end
whens = st.sampled_from(["", "", "", "+1000", "+20000", "-700"])
limits = st.sampled_from(LIMITS)
some_jobs = st.lists(st.tuples(queues, ids, whens, limits), min_size=1, max_size=4)
some_limits = st.tuples(queues, st.sampled_from(QUEUE_LIMITS)) | st.tuples(
    st.sampled_from(["r=s", "r=t"]), st.sampled_from(RESOURCE_LIMITS)
)
laned_jobs = st.lists(st.tuples(queues, st.none(), whens, st.sampled_from(LANED)), min_size=2, max_size=6)
some_calls = st.lists(st.tuples(queues, st.none(), whens), min_size=2, max_size=4)
names = st.sampled_from(
    ["claim", "finish", "enqueue"] * 3
    + ["extend", "progress", "release", "rerun", "trim", "pause", "cancel", "told", "limit"]
)
moves = st.tuples(places, st.sampled_from("CRSQPADL"), st.sampled_from([0, 1, 9_000]))
some_moves = st.lists(moves, min_size=1, max_size=4)
gates = st.sampled_from([("", None, None)] * 6 + [(0, None, None), (1, None, None), (2, 0, None), ("", 700, None)])
gates |= st.sampled_from([("", None, 0), (1, -1, 1), ("", 0, 20_000), ("", None, None), ("", None, None)])
quotas = st.lists(st.tuples(queues, st.integers(0, 3), gates), min_size=1, max_size=2, unique_by=lambda pair: pair[0])
BOTH = [(queue, 2, ("", None, None)) for queue in QUEUES]


Wanted: TypeAlias = tuple[str, str | None, str, tuple[str, str]]
Gate: TypeAlias = tuple[Any, int | None, int | None]


def several(times: int, step: Callable[..., None], **drawn: Any) -> list[Callable[..., None]]:
    """Make a step into several rules.

    Of the rules each example uses a part only, and those evenly: what moves jobs along must be seldom missing.
    """
    return [rule(**drawn)(_renamed(step, f"{step.__name__.strip('_')}_{n}")) for n in range(times)]


def _renamed(step: Callable[..., None], name: str) -> Callable[..., None]:
    copy = FunctionType(step.__code__, step.__globals__, name)
    copy.__annotations__ = step.__annotations__
    return copy


class Hand:
    """A worker. ``held`` is what it knows to be its own; ``unanswered`` the claim whose answer was lost."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.claims = self.batches = 0
        self.held: list[Lease] = []
        self.unanswered: tuple[Any, ...] | None = None


class Machine(RuleBasedStateMachine):
    def __init__(self, url: str, variants: Mapping[str, str]) -> None:
        super().__init__()
        self.calls = Calls(url, variants, QUEUES)
        self.reference = self.calls.reference
        self.hands = [Hand(f"w{n}") for n in range(1, 4)]
        self.hired = len(self.hands)
        self.enqueued = self.calls_sent = 0
        for ms in (0, LEASE_MS // 2, LEASE_MS // 2):  # the amnesty of a fresh server
            self.calls.pass_time(ms)
            self._beat(Hand("bystander"))

    def teardown(self) -> None:
        self.calls.close()

    @invariant()
    def what_is_stored_is_what_the_reference_says(self) -> None:
        self.calls.check()

    # --- clients ------------------------------------------------------------------------------------------

    @initialize(jobs=some_jobs)
    def stock(self, jobs: Sequence[Wanted]) -> None:
        self._enqueue(jobs)

    def _enqueue(self, jobs: Sequence[Wanted]) -> None:
        self.calls_sent += 1
        self.calls.enqueue(self.calls_sent, [self._new_job(*job) for job in jobs])

    enqueue_1, enqueue_2 = several(2, _enqueue, jobs=some_jobs)

    def _enqueue_alike(self, calls: Sequence[tuple[str, None, str]], key: tuple[str, str], at_once: bool) -> None:
        """Several calls that have the same key."""
        jobs = [(*call, key) for call in calls]
        for some in [jobs] if at_once else [[job] for job in jobs]:
            self._enqueue(some)

    enqueue_alike_1, enqueue_alike_2, enqueue_alike_3 = several(
        3, _enqueue_alike, calls=some_calls, key=st.sampled_from(KEYED), at_once=st.booleans()
    )

    def _new_job(self, queue: str, job_id: str | None, when: str, limits: tuple[str, str]) -> NewJob:
        """Return a job to enqueue; without an id it gets one that nobody has."""
        self.enqueued += 1
        job_id = job_id or f"new-{self.enqueued}"
        text, how = limits
        due = str(self.reference.now + int(when)) if when.startswith("-") else when
        due = "" if how[:1] in set("da") else due
        job: dict[str, Any] = {"i": f"{self.enqueued:012}"} | ({"l": text} if text else {})
        job |= {"t": None, "f": TASKS[self.enqueued % 2], "k": {}, "et": 1, "a": []}
        if how.startswith("a"):  # as encode_payload does: where items are added, the arguments stand last
            job["a"] = [[f'{self.enqueued}]]}}"a":[[{n}' for n in range(1 + self.enqueued % 4)]]
            how = how.format(len(job["a"][0]))
        payload = json.dumps(job, separators=(",", ":")).encode()
        return NewJob(queue, job_id, f"{due} {how}" if text or how else due, payload)

    # --- workers ------------------------------------------------------------------------------------------

    def _claim(self, hand: int, quotas: Sequence[tuple[str, int, Gate]], slots: int, answered: bool) -> None:
        worker = self.hands[hand]
        worker.claims += 1
        plan = [Quota(queue, quota, self._gate(*gate)) for queue, quota, gate in quotas]
        call = (worker.name, worker.claims, plan, slots)
        for queue, _, _ in quotas:
            self.calls.take_token(queue)  # by which it was woken
        leases = self.calls.claim(*call)
        if answered:
            worker.held += leases
        worker.unanswered = None if answered else call

    def _gate(self, most: int | str, opens: int | None, closes: int | None) -> str:
        opens, closes = ("" if ms is None else self.reference.now + ms for ms in (opens, closes))
        return "" if (most, opens, closes) == ("", "", "") else f"{most}:{opens}:{closes}"

    claim_1, claim_2 = several(2, _claim, hand=hands, quotas=quotas, slots=st.integers(1, 5), answered=st.booleans())

    @precondition(lambda self: self._those(lambda worker: worker.unanswered))
    @rule(hand=hands)
    def claim_again(self, hand: int) -> None:
        worker = _nth(self._those(lambda worker: worker.unanswered), hand)
        worker.held += self.calls.claim(*worker.unanswered)
        worker.unanswered = None

    @rule(hand=hands)
    def extend(self, hand: int) -> None:
        self._beat(self.hands[hand])

    @rule(hand=hands, some=some_queues, woken=st.booleans())
    def hand_on(self, hand: int, some: Sequence[str], woken: bool) -> None:
        """A worker has no free slot left, and maybe was woken."""
        if woken:
            self.calls.take_token(some[0])
        self.calls.hand_on(self.hands[hand].name, some, some[0] if woken else None)

    @precondition(lambda self: self._those(lambda worker: worker.held))
    @rule(hand=hands, place=places)
    def forget_a_lease(self, hand: int, place: int) -> None:
        """A worker lives, and drops a lease that it was given."""
        held = _nth(self._those(lambda worker: worker.held), hand).held
        held.pop(place % len(held))

    def _finish(self, hand: int, moves: Sequence[tuple[int, str, int]]) -> None:
        if holding := self._those(lambda worker: worker.held):
            worker = _nth(holding, hand)
            self._end(worker, worker.held, moves)

    finish_1, finish_2, finish_3 = several(3, _finish, hand=hands, moves=some_moves)

    def _shift(self, hand: int, jobs: Sequence[Wanted], moves: Sequence[tuple[int, str, int]]) -> None:
        """Jobs come, a worker takes what there is, and ends some of it."""
        self._enqueue(jobs)
        self._claim(hand, BOTH, 4, answered=True)
        self._finish(hand, moves)

    shift_1, shift_2, shift_3 = several(3, _shift, hand=hands, jobs=some_jobs, moves=some_moves)

    def _rush(self, hand: int, jobs: Sequence[Wanted], limit: tuple[str, str], quotas: Any, slots: int) -> None:
        """More comes than a limit allows, and a worker takes what it can get."""
        self.calls.limit(limit[0], "set", limit[1])
        self._enqueue(jobs)
        self._claim(hand, quotas, slots, answered=True)

    rush_1, rush_2, rush_3, rush_4 = several(
        4, _rush, hand=hands, jobs=laned_jobs, limit=some_limits, quotas=quotas, slots=st.integers(1, 4)
    )

    @precondition(lambda self: self.calls.leases)
    @rule(hand=hands, moves=some_moves)
    def finish_with_any_mark(self, hand: int, moves: Sequence[tuple[int, str, int]]) -> None:
        self._end(self.hands[hand], self.calls.leases, moves)

    @precondition(lambda self: self.calls.leases)
    @rule(place=places, done=st.integers(0, 3))
    def progress_with_any_mark(self, place: int, done: int) -> None:
        self.calls.progress(_nth(self.calls.leases, place), done, 3)

    @rule(hand=hands, place=places)
    def extend_some(self, hand: int, place: int) -> None:
        """A worker with many leases lists them in several calls; it has come to the first of them."""
        worker = self.hands[hand]
        self.calls.extend(worker.name, worker.held[: place % 3], last=False)

    @precondition(lambda self: self.calls.leases)
    @rule(hand=hands, place=places)
    def extend_with_any_marks(self, hand: int, place: int) -> None:
        self.calls.extend(self.hands[hand].name, self.calls.leases[-1 - place :])

    @rule(hand=hands)
    def die(self, hand: int) -> None:
        self._replace(hand)

    @rule(hand=hands)
    def sign_off(self, hand: int) -> None:
        self.calls.sign_off(self._replace(hand).name)

    @rule(hand=hands, times=st.integers(1, 3), queue=queues)
    def die_with_what_one_can_get(self, hand: int, times: int, queue: str) -> None:
        """Workers claim, one after the other, and are never heard of again."""
        for _ in range(times):
            worker = self._replace(hand)
            self.calls.claim(worker.name, worker.claims + 1, [Quota(queue, 3)], 3)
            self.calls.gone(worker.name)
            self._let_time_pass(LEASE_MS + 1, self.hands)
            self.calls.recover(QUEUES)

    @rule(hand=hands)
    def put_everything_right(self, hand: int) -> None:
        """Whatever happened before, a healthy worker gets every job there is, and ends it."""
        for queue in QUEUES:
            self.calls.pause(queue, paused=False)
        waiting = [job.at for job in self.reference.live.values() if job.at >= FIRST_TIME]
        running = [job.lease_end for job in self.reference.live.values() if job.mark]
        worker = self.hands[hand]
        self._let_time_pass(max([*waiting, *running, self.reference.now]) - self.reference.now + 3 * LEASE_MS, [worker])
        vain = 0
        for _ in range(200):
            if not self.reference.live:
                return
            self.calls.release(QUEUES, REASONS)
            self._claim(hand, [(queue, 5, ("", None, None)) for queue in QUEUES], 5, answered=True)
            self.calls.check_reached(worker.held)
            ms = (self.calls.look_at or 0) - self.reference.now
            vain = 0 if worker.held or ms > 0 else vain + 1
            self.calls.check_rest(vain)
            if not worker.held:
                self._let_time_pass(ms, [worker])
            self._end(worker, worker.held, [(place, "CD"[place % 2], 0) for place in range(len(worker.held))])

    # --- the services, and operators ------------------------------------------------------------------------

    @rule(some=some_queues)
    def recover(self, some: Sequence[str]) -> None:
        self.calls.recover(some)

    @rule(some=some_queues, reasons=st.sampled_from([REASONS, REASONS[:1]]))
    def release(self, some: Sequence[str], reasons: Sequence[str]) -> None:
        self.calls.release(some, reasons)

    @rule(queue=queues, keep_ms=st.sampled_from([0, 20_000]), keep_count=st.integers(0, 2))
    def trim(self, queue: str, keep_ms: int, keep_count: int) -> None:
        self.calls.trim(queue, keep_ms, keep_count)

    @precondition(lambda self: self.reference.kept.archived)
    @rule(place=places)
    def rerun(self, place: int) -> None:
        self.calls.rerun(*_nth(list(self.reference.kept.archived), place))

    @rule(queue=queues, job_id=ids)
    def rerun_whatever_it_is(self, queue: str, job_id: str) -> None:
        self.calls.rerun(queue, job_id)

    @precondition(lambda self: self.reference.kept.archived)
    @rule(place=places, hand=hands, ended=st.booleans())
    def rerun_a_job_whose_id_was_used_again(self, place: int, hand: int, ended: bool) -> None:
        queue, job_id = _nth(list(self.reference.kept.archived), place)
        other = QUEUES[queue == QUEUES[0]]
        if job_id in self.reference.kept.passing:
            self.calls.forget_result(job_id)
        self._enqueue([(other, job_id, "-700", ("", ""))])
        self.calls.pause(other, paused=False)
        if ended:
            self._claim(hand, [(other, 5, ("", None, None))], 5, answered=True)
            self._finish(hand, [(place, "C", 0) for place in range(9)])
        self.calls.rerun(queue, job_id)

    @precondition(lambda self: self.reference.parked)
    @rule(place=places)
    def release_what_arq_has_made_due(self, place: int) -> None:
        job_id = _nth([job_id for _, _, job_id in self.reference.parked], place)
        if job_id in self.reference.live:
            self.calls.change_score(job_id, 1)
        self.calls.release(QUEUES, REASONS)

    @precondition(lambda self: self.reference.live)
    @rule(place=places)
    def cancel(self, place: int) -> None:
        job = _nth(list(self.reference.live.values()), place)
        self.calls.cancel(job.queue, job.id)

    @rule(queue=queues, job_id=ids)
    def cancel_whatever_it_is(self, queue: str, job_id: str) -> None:
        self.calls.cancel(queue, job_id)

    def _cancel_what_runs(self, hand: int, moves: Sequence[tuple[int, str, int]], state: str | None) -> None:
        """Somebody cancels a running job, and its worker, which may not know yet, ends some."""
        if holding := self._those(lambda worker: worker.held):
            worker = _nth(holding, hand)
            lease = _nth(worker.held, moves[0][0])
            self.calls.cancel(lease.queue, lease.id)
            if state:
                self.calls.take_cancel_token(worker.name)
                self.calls.told(lease.id, lease.mark, state)
                self.calls.cancel(lease.queue, lease.id)
            self._end(worker, worker.held, moves)

    cancel_what_runs_1, cancel_what_runs_2 = several(
        2,
        _cancel_what_runs,
        hand=hands,
        moves=some_moves,
        state=st.sampled_from([None, "delivered", "resisting"]),
    )

    @precondition(lambda self: self.calls.leases)
    @rule(place=places, state=st.sampled_from(["delivered", "resisting"]))
    def told_with_any_mark(self, place: int, state: str) -> None:
        lease = _nth(self.calls.leases, place)
        self.calls.told(lease.id, lease.mark, state)

    @rule(queue=queues, how=st.sampled_from(["config", "set", "set", "reset"]), text=st.sampled_from(QUEUE_LIMITS))
    def limit_queue(self, queue: str, how: str, text: str) -> None:
        self.calls.limit(queue, how, text if how != "reset" else "")

    @rule(queue=queues, change=st.sampled_from(CHANGES))
    def change_limits(self, queue: str, change: str) -> None:
        self.calls.limit(queue, "set", change)

    @rule(
        name=st.sampled_from(["r=s", "r=t"]),
        how=st.sampled_from(["config", "set", "set", "reset"]),
        text=st.sampled_from(RESOURCE_LIMITS),
    )
    def limit_resource(self, name: str, how: str, text: str) -> None:
        self.calls.limit(name, how, text if how != "reset" else "")

    @precondition(lambda self: self.reference.keys)
    @rule(place=places)
    def time_of_a_key_ends(self, place: int) -> None:
        self.calls.end_key(*_nth(list(self.reference.keys), place))

    @rule(queue=queues, paused=st.booleans())
    def pause(self, queue: str, paused: bool) -> None:
        self.calls.pause(queue, paused)

    @rule(queue=queues)
    def take_token(self, queue: str) -> None:
        self.calls.take_token(queue)

    # --- time, the network and arq --------------------------------------------------------------------------

    @rule(ms=st.sampled_from([1, 700, LEASE_MS // 2, LEASE_MS + 1, 2 * LEASE_MS]), beating=st.sets(hands))
    def time_passes(self, ms: int, beating: set[int]) -> None:
        self._let_time_pass(ms, [self.hands[hand] for hand in sorted(beating)])

    @precondition(lambda self: self._openings())
    @rule(place=places, early=st.sampled_from([0, 0, 1]), hand=hands)
    def time_comes_for_a_limit(self, place: int, early: int, hand: int) -> None:
        """A limit opens, or will in a millisecond, and a worker comes."""
        self._let_time_pass(_nth(self._openings(), place) - early - self.reference.now, self.hands)
        self._claim(hand, BOTH, 4, answered=True)

    def _openings(self) -> list[int]:
        """Return when a start no longer counts under its rate."""
        limits = self.reference.limits
        windows = {place: limits.at(place).window for place in limits.starts}
        opens = [at.at + windows[p] + 1 for p, starts in limits.starts.items() if windows[p] for at in starts]
        return [at for at in opens if at > self.reference.now]

    @rule(ms=st.sampled_from([-1, -1000, -1001, -2 * LEASE_MS]))
    def time_goes_back(self, ms: int) -> None:
        self.calls.pass_time(ms)

    def _silence(self, ms: int, hand: int, first: str) -> None:
        """The server was away; somebody is the first to come back."""
        self.calls.pass_time(ms)
        match first:
            case "claim":
                self._claim(hand, BOTH, 4, answered=True)
            case "extend":
                self._beat(self.hands[hand])
            case "recover":
                self.calls.recover(QUEUES)

    silence_1, silence_2 = several(
        2,
        _silence,
        ms=st.sampled_from([LEASE_MS // 2, LEASE_MS // 2 + 1, LEASE_MS + 1, 3 * LEASE_MS]),
        hand=hands,
        first=st.sampled_from(["claim", "extend", "recover"]),
    )

    def _copy(self, name: str, place: int) -> None:
        """A call whose answer was lost is sent again; or an older copy of it was delayed on its way."""
        self.calls.copy(name, place)

    copy_1, copy_2, copy_3 = several(3, _copy, name=names, place=places)

    @precondition(lambda self: self.reference.live)
    @rule(place=places, to=st.sampled_from([1, None]))
    def arq_changes_a_score(self, place: int, to: int | None) -> None:
        self.calls.change_score(_nth(list(self.reference.live), place), to, by=1500)

    @precondition(lambda self: self.reference.kept.passing)
    @rule(place=places)
    def a_result_runs_out(self, place: int) -> None:
        self.calls.forget_result(_nth(sorted(self.reference.kept.passing), place))

    # --- how ------------------------------------------------------------------------------------------------

    def _let_time_pass(self, ms: int, beating: Sequence[Hand]) -> None:
        """Let time pass while some beat, and a bystander, three times a lease."""
        while ms > 0:
            self.calls.pass_time(min(ms, LEASE_MS // 3))
            ms -= LEASE_MS // 3
            for worker in (Hand("bystander"), *beating):
                self._beat(worker)

    def _beat(self, worker: Hand) -> None:
        self.calls.extend(worker.name, list(worker.held))
        worker.held = [lease for lease in worker.held if self.reference.holds(lease)]

    def _those(self, which: Callable[[Hand], Any]) -> list[Hand]:
        return [worker for worker in self.hands if which(worker)]

    def _replace(self, hand: int) -> Hand:
        """Let another take the place of a worker; return the one that went."""
        self.hired += 1
        gone, self.hands[hand] = self.hands[hand], Hand(f"w{self.hired}")
        self.calls.gone(gone.name)
        return gone

    def _end(self, worker: Hand, leases: Sequence[Lease], moves: Sequence[tuple[int, str, int]]) -> None:
        endings = [self._ending(_nth(leases, place), *how) for place, *how in moves]  # some of one lease, maybe
        worker.batches += 1
        self.calls.finish(worker.name, worker.batches, endings)
        ended = {ending.lease.mark for ending in endings}
        worker.held = [lease for lease in worker.held if lease.mark not in ended]

    def _ending(self, lease: Lease, move: str, delay: int) -> Ending:
        """Write an ending as a worker does: from what its lease told it, with ``n`` and one more of what it counts."""
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
                at, data = lease.due, f"task:{json.loads(lease.payload)['f']}"
            case "L":
                at, data = lease.due, _relabelled(json.loads(lease.payload).get("l", ""), delay)
        if move in "CA" and delay != 1:
            result = (lease.payload or b"")[:19] + b"}"
        record = b"" if move in "PL" else json.dumps([lease.mark, move]).encode()
        return Ending(lease, move, at, data, result, record)

    def _has_begun(self, lease: Lease) -> bool:
        """A job that told its progress has begun to run: it is not given back as if it had not."""
        return self.reference.holds(lease) and "p" in self.reference.live[lease.id].noted


def _relabelled(limits: str, delay: int) -> str:
    """Return what the worker's task says a job is limited by: other resources."""
    kept = [part for part in limits.split(",") if part and part[0] != "r"]
    parts = [*kept, "r=s" if delay else "r=t"]
    return ",".join(sorted(parts, key=lambda part: "kruo".index(part[0])))


def _nth(of: Sequence[Any], place: int) -> Any:
    return of[-1 - place % len(of)]
