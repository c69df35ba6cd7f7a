"""What may happen to the jobs of a shard, in any order: workers, clients, operators, arq, a bad network and time."""

from __future__ import annotations

import json
from types import FunctionType
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jobsd.store.jobs import Ending, Lease, NewJob
from jobsd.store.keys import PARKED
from tests.model.calls import Calls
from tests.model.recovery import LEASE_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

QUEUES = ("default", "arq:queue")
IDS = tuple(f"job-{n}" for n in range(8))
REASONS = ("task:x", "task:y")
AN_HOUR_MS = 3_600_000
A_WHILE_MS = 20_000

queues = st.sampled_from(QUEUES)
some_queues = st.sampled_from([QUEUES, QUEUES[::-1], QUEUES[:1]])
ids = st.sampled_from(IDS)
hands = st.integers(0, 2)  # which of the workers that are up
places = st.integers(0, 30)  # which of a list, counted from its end
whens = st.sampled_from(["", "", "", "+1000", "+20000", "-700"])
some_jobs = st.lists(st.tuples(queues, ids, whens), min_size=1, max_size=4)
names = st.sampled_from(
    ["claim", "finish"] * 3 + ["enqueue", "extend", "progress", "release", "rerun", "trim", "pause"]
)
moves = st.tuples(places, st.sampled_from("CRSQPAD"), st.sampled_from([0, 1, 9_000]))
some_moves = st.lists(moves, min_size=1, max_size=4)
quotas = st.lists(st.tuples(queues, st.integers(0, 3)), min_size=1, max_size=2, unique_by=lambda pair: pair[0])


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
    def stock(self, jobs: Sequence[tuple[str, str, str]]) -> None:
        self._enqueue(jobs)

    def _enqueue(self, jobs: Sequence[tuple[str, str, str]]) -> None:
        self.calls_sent += 1
        self.calls.enqueue(
            self.calls_sent, [NewJob(queue, job_id, self._when(when), self._payload()) for queue, job_id, when in jobs]
        )

    enqueue_1, enqueue_2 = several(2, _enqueue, jobs=some_jobs)

    def _when(self, when: str) -> str:
        return str(self.reference.now + int(when)) if when.startswith("-") else when

    def _payload(self) -> bytes:
        self.enqueued += 1
        return b'{"i":"%012d","t":null,"f":"a","a":[],"k":{},"et":1}' % self.enqueued

    # --- workers ------------------------------------------------------------------------------------------

    def _claim(self, hand: int, quotas: Sequence[tuple[str, int]], slots: int, answered: bool) -> None:
        worker = self.hands[hand]
        worker.claims += 1
        call = (worker.name, worker.claims, dict(quotas), slots)
        for queue, _ in quotas:
            self.calls.take_token(queue)  # by which it was woken
        leases = self.calls.claim(*call)
        if answered:
            worker.held += leases
        worker.unanswered = None if answered else call

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

    def _shift(self, hand: int, jobs: Sequence[tuple[str, str, str]], moves: Sequence[tuple[int, str, int]]) -> None:
        """Jobs come, a worker takes what there is, and ends some of it."""
        self._enqueue(jobs)
        self._claim(hand, [(queue, 2) for queue in QUEUES], 4, answered=True)
        self._finish(hand, moves)

    shift_1, shift_2, shift_3, shift_4 = several(4, _shift, hand=hands, jobs=some_jobs, moves=some_moves)

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
            self.calls.claim(worker.name, worker.claims + 1, {queue: 3}, 3)
            self._let_time_pass(LEASE_MS + 1, self.hands)
            self.calls.recover(QUEUES)

    @rule(hand=hands)
    def put_everything_right(self, hand: int) -> None:
        """Whatever happened before, a healthy worker gets every job there is, and ends it."""
        for queue in QUEUES:
            self.calls.pause(queue, paused=False)
        latest = max((max(j.at, j.lease_end) for j in self.reference.live.values() if j.at < PARKED), default=0)
        worker = self.hands[hand]
        self._let_time_pass(max(latest - self.reference.now, 0) + 3 * LEASE_MS, [worker])
        while self.reference.live:
            self.calls.release(QUEUES, REASONS)
            self._claim(hand, [(queue, 5) for queue in QUEUES], 5, answered=True)
            self.calls.check_reached(worker.held)
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
        self._enqueue([(other, job_id, "-700")])
        self.calls.pause(other, paused=False)
        if ended:
            self._claim(hand, [(other, 5)], 5, answered=True)
            self._finish(hand, [(place, "C", 0) for place in range(9)])
        self.calls.rerun(queue, job_id)

    @precondition(lambda self: self.reference.parked)
    @rule(place=places)
    def release_what_arq_has_made_due(self, place: int) -> None:
        job_id = _nth([job_id for _, _, job_id in self.reference.parked], place)
        if job_id in self.reference.live:
            self.calls.change_score(job_id, 1)
        self.calls.release(QUEUES, REASONS)

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

    @rule(ms=st.sampled_from([-1, -1000, -1001, -2 * LEASE_MS]))
    def time_goes_back(self, ms: int) -> None:
        self.calls.pass_time(ms)

    def _silence(self, ms: int, hand: int, first: str) -> None:
        """The server was away; somebody is the first to come back."""
        self.calls.pass_time(ms)
        match first:
            case "claim":
                self._claim(hand, [(queue, 2) for queue in QUEUES], 4, answered=True)
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
        return gone

    def _end(self, worker: Hand, leases: Sequence[Lease], moves: Sequence[tuple[int, str, int]]) -> None:
        endings = [self._ending(_nth(leases, place), *how) for place, *how in moves]  # some of one lease, maybe
        worker.batches += 1
        self.calls.finish(worker.name, worker.batches, endings)
        ended = {ending.lease.mark for ending in endings}
        worker.held = [lease for lease in worker.held if lease.mark not in ended]

    def _ending(self, lease: Lease, move: str, delay: int) -> Ending:
        """Write an ending as a worker does: from what its lease told it, with ``n`` and one more of what it counts."""
        if move == "P" and self._has_begun(lease):
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
                at, data = lease.due, REASONS[delay % 2]
        if move in "CA" and delay != 1:
            result = (lease.payload or b"")[:19] + b"}"
        record = b"" if move == "P" else json.dumps([lease.mark, move]).encode()
        return Ending(lease, move, at, data, result, record)

    def _has_begun(self, lease: Lease) -> bool:
        """A job that told its progress has begun to run: it is not given back as if it had not."""
        return self.reference.holds(lease) and "p" in self.reference.live[lease.id].noted


def _nth(of: Sequence[Any], place: int) -> Any:
    return of[-1 - place % len(of)]
