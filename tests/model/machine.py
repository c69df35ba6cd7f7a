"""What may happen to the jobs of a shard, in any order: workers, clients, operators, arq, a bad network and time."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jobsd.store.jobs import Quota
from jobsd.store.keys import FIRST_TIME
from tests.model import drawn
from tests.model.drawn import ALL, BOTH, QUEUES, REASONS, hands, nth, places, queues, some_queues
from tests.model.people import People
from tests.model.recovery import LEASE_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.model.drawn import Gate, Moves, Wanted

Plan = list[tuple[str, int, "Gate"]]
Limiting = tuple[str, str]  # the name of a queue or resource, and its limits


def several(times: int, step: Callable[..., None], **drawn_by: Any) -> list[Callable[..., None]]:
    """Make a step into several rules.

    Of the rules each example uses a part only, and those evenly: what moves jobs along must be seldom missing.
    """
    return [rule(**drawn_by)(_renamed(step, f"{step.__name__.strip('_')}_{n}")) for n in range(times)]


def _renamed(step: Callable[..., None], name: str) -> Callable[..., None]:
    copy = FunctionType(step.__code__, step.__globals__, name)
    copy.__annotations__ = step.__annotations__
    return copy


class Machine(RuleBasedStateMachine):
    def __init__(self, url: str, variants: Mapping[str, str]) -> None:
        super().__init__()
        self.people = People(url, variants)
        self.calls, self.reference = self.people.calls, self.people.reference

    def teardown(self) -> None:
        self.calls.close()

    @invariant()
    def what_is_stored_is_what_the_reference_says(self) -> None:
        self.calls.check()

    # --- clients ------------------------------------------------------------------------------------------

    @initialize(jobs=drawn.some_jobs)
    def stock(self, jobs: Sequence[Wanted]) -> None:
        self.people.enqueue(jobs)

    def _enqueue(self, jobs: Sequence[Wanted]) -> None:
        self.people.enqueue(jobs)

    enqueue_1, enqueue_2 = several(2, _enqueue, jobs=drawn.some_jobs)

    def _enqueue_alike(self, calls: Sequence[tuple[str, None, str]], digest: str, ms: int | None) -> None:
        """Several calls that have the same key, in one or one after the other."""
        alike = [key for key in drawn.KEYED if digest in "".join(key)]
        jobs = [(*call, alike[n % len(alike)]) for n, call in enumerate(calls, self.people.calls_sent)]
        for some in [jobs] if ms is None else [[job] for job in jobs]:
            self.people.enqueue(some)
            self.calls.pass_time(ms or 0)

    enqueue_alike_1, enqueue_alike_2, enqueue_alike_3 = several(
        3,
        _enqueue_alike,
        calls=drawn.some_calls,
        digest=drawn.digests,
        ms=st.sampled_from([None, 0, 700]),
    )

    @precondition(lambda self: self.reference.keys)
    @rule(place=places, again=st.booleans())
    def time_of_a_key_ends(self, place: int, again: bool) -> None:
        """It ends while its job lives, maybe; another may have it then."""
        kind, digest = nth(list(self.reference.keys), place)
        self.calls.end_key(kind, digest)
        if again:
            alike = [key for key in (*drawn.LIMITED, *drawn.KEYED) if digest in "".join(key)]
            self.people.enqueue([(QUEUES[0], None, "", alike[-1])])

    # --- workers ------------------------------------------------------------------------------------------

    def _claim(self, hand: int, quotas: Plan, slots: int, answered: bool) -> None:
        self.people.claim(hand, quotas, slots, answered=answered)

    claim_1, claim_2 = several(
        2, _claim, hand=hands, quotas=drawn.quotas, slots=st.integers(1, 5), answered=st.booleans()
    )

    @precondition(lambda self: self.people.those(lambda worker: worker.unanswered))
    @rule(hand=hands)
    def claim_again(self, hand: int) -> None:
        worker = nth(self.people.those(lambda worker: worker.unanswered), hand)
        worker.held += self.calls.claim(*worker.unanswered)
        worker.unanswered = None

    @rule(hand=hands)
    def extend(self, hand: int) -> None:
        self.people.beat(self.people.hands[hand])

    @rule(hand=hands, some=some_queues, woken=st.booleans(), claims=st.booleans())
    def hand_on(self, hand: int, some: Sequence[str], woken: bool, claims: bool) -> None:
        """A worker takes no more jobs, and maybe was woken."""
        if claims:
            self.people.claim(hand, BOTH, 4)
        if woken:
            self.calls.take_token(some[0])
        self.calls.hand_on(self.people.hands[hand].name, some, some[0] if woken else None)

    @precondition(lambda self: self.people.those(lambda worker: worker.held))
    @rule(hand=hands, place=places)
    def forget_a_lease(self, hand: int, place: int) -> None:
        """A worker lives, and drops a lease that it was given."""
        held = nth(self.people.those(lambda worker: worker.held), hand).held
        held.pop(place % len(held))

    def _finish(self, hand: int, moves: Moves) -> None:
        self.people.finish(hand, moves)

    finish_1, finish_2, finish_3 = several(3, _finish, hand=hands, moves=drawn.some_moves)

    def _shift(self, hand: int, jobs: Sequence[Wanted], moves: Moves) -> None:
        """Jobs come, a worker takes what there is, and ends some of it."""
        self.people.enqueue(jobs)
        self.people.claim(hand, BOTH, 4)
        self.people.finish(hand, moves)

    shift_1, shift_2, shift_3 = several(3, _shift, hand=hands, jobs=drawn.some_jobs, moves=drawn.some_moves)

    def _rush(self, hand: int, jobs: Sequence[Wanted], limits: Sequence[Limiting], quotas: Plan, slots: int) -> None:
        """More comes than the limits allow, and a worker takes what it can get."""
        for name, text in limits:
            self.calls.limit(name, "set", text)
        self.people.enqueue(jobs)
        self.people.claim(hand, quotas, slots)

    rush_1, rush_2, rush_3, rush_4 = several(
        4,
        _rush,
        hand=hands,
        jobs=drawn.limited_jobs,
        limits=drawn.both_limits,
        quotas=drawn.quotas,
        slots=st.integers(1, 4),
    )

    @precondition(lambda self: self.calls.leases)
    @rule(hand=hands, moves=drawn.some_moves)
    def finish_with_any_mark(self, hand: int, moves: Moves) -> None:
        self.people.end(self.people.hands[hand], self.calls.leases, moves)

    @precondition(lambda self: self.calls.leases)
    @rule(place=places, done=st.integers(0, 3))
    def progress_with_any_mark(self, place: int, done: int) -> None:
        self.calls.progress(nth(self.calls.leases, place), done, 3)

    @rule(hand=hands, place=places)
    def extend_some(self, hand: int, place: int) -> None:
        """A worker with many leases lists them in several calls; it has come to the first of them."""
        worker = self.people.hands[hand]
        self.calls.extend(worker.name, worker.held[: place % 3], last=False)

    @precondition(lambda self: self.calls.leases)
    @rule(hand=hands, place=places)
    def extend_with_any_marks(self, hand: int, place: int) -> None:
        self.calls.extend(self.people.hands[hand].name, self.calls.leases[-1 - place :])

    @rule(hand=hands)
    def die(self, hand: int) -> None:
        self.people.replace(hand)

    @rule(hand=hands)
    def sign_off(self, hand: int) -> None:
        self.calls.sign_off(self.people.replace(hand).name)

    @rule(hand=hands, times=st.integers(1, 3), queue=queues)
    def die_with_what_one_can_get(self, hand: int, times: int, queue: str) -> None:
        """Workers claim, one after the other, and are never heard of again."""
        for _ in range(times):
            worker = self.people.replace(hand)
            self.calls.claim(worker.name, worker.claims + 1, [Quota(queue, 3)], 3)
            self.calls.gone(worker.name)
            self.people.let_time_pass(LEASE_MS + 1, self.people.hands)
            self.calls.recover(QUEUES)

    @rule(hand=hands)
    def put_everything_right(self, hand: int) -> None:
        """Whatever happened before, a healthy worker gets every job there is, and ends it."""
        for queue in QUEUES:
            self.calls.pause(queue, paused=False)
        now, worker, vain = self.reference.now, self.people.hands[hand], 0
        times = [job.at if job.at >= FIRST_TIME else now for job in self.reference.live.values() if not job.mark]
        times += [job.lease_end for job in self.reference.live.values() if job.mark]
        self.people.let_time_pass(max([*times, now]) - now + 3 * LEASE_MS, [worker])
        while self.reference.live:
            self.calls.release(QUEUES, REASONS)
            self.people.claim(hand, ALL, 5)
            self.calls.check_reached(worker.held)
            ms = (self.calls.look_at or 0) - self.reference.now
            vain = 0 if worker.held or ms > 0 else vain + 1
            self.calls.check_rest(vain)
            if worker.held:
                self.people.end(worker, worker.held, [(n, "CD"[n % 2], 0) for n in range(len(worker.held))])
            else:
                self.people.let_time_pass(ms, [worker])

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

    @rule(hand=hands, queue=queues, keep=drawn.keeps, lowered=st.booleans())
    def keep(self, hand: int, queue: str, keep: tuple[int, int, int], lowered: bool) -> None:
        self.people.say_keep(hand, queue, keep, lowered=lowered)

    @precondition(lambda self: self.reference.kept.archived)
    @rule(place=places)
    def rerun(self, place: int) -> None:
        self.calls.rerun(*nth(list(self.reference.kept.archived), place))

    @rule(queue=queues, job_id=drawn.ids)
    def rerun_whatever_it_is(self, queue: str, job_id: str) -> None:
        self.calls.rerun(queue, job_id)

    @precondition(lambda self: self.reference.kept.archived)
    @rule(place=places, hand=hands, ended=st.booleans())
    def rerun_a_job_whose_id_was_used_again(self, place: int, hand: int, ended: bool) -> None:
        queue, job_id = nth(list(self.reference.kept.archived), place)
        other = QUEUES[queue == QUEUES[0]]
        if job_id in self.reference.kept.passing:
            self.calls.forget_result(job_id)
        self.people.enqueue([(other, job_id, "-700", ("", ""))])
        self.calls.pause(other, paused=False)
        if ended:
            self.people.claim(hand, [(other, 5, drawn.NO_GATE)], 5)
            self.people.finish(hand, [(place, "C", 0) for place in range(9)])
        self.calls.rerun(queue, job_id)

    @precondition(lambda self: self.people.jobs("unique"))
    @rule(place=places, queue=queues)
    def rerun_a_job_whose_key_was_used_again(self, place: int, queue: str) -> None:
        job = nth(self.people.jobs("unique"), place)
        self.calls.cancel(job.queue, job.id)
        self.people.enqueue([(queue, None, "", (job.limits, ""))])
        self.calls.rerun(job.queue, job.id)

    @precondition(lambda self: self.reference.parked)
    @rule(place=places)
    def release_what_arq_has_made_due(self, place: int) -> None:
        job_id = nth([job_id for _, _, job_id in self.reference.parked], place)
        if job_id in self.reference.live:
            self.calls.change_score(job_id, 1)
        self.calls.release(QUEUES, REASONS)

    def _cancel(self, kind: str, place: int) -> None:
        if found := self.people.jobs(kind):
            job = nth(found, place)
            self.calls.cancel(job.queue, job.id)

    cancel_1, cancel_2 = several(2, _cancel, kind=drawn.kinds_of_jobs, place=places)

    def _leave_the_line(self, hand: int, moves: Moves, place: int) -> None:
        """A lease ends, and the job that could run now is cancelled."""
        self.people.finish(hand, moves)
        self._cancel("in a lane", place)

    leave_the_line_1, leave_the_line_2 = several(2, _leave_the_line, hand=hands, moves=drawn.some_moves, place=places)

    @rule(queue=queues, job_id=drawn.ids)
    def cancel_whatever_it_is(self, queue: str, job_id: str) -> None:
        self.calls.cancel(queue, job_id)

    def _cancel_what_runs(self, hand: int, moves: Moves, state: str | None) -> None:
        """Somebody cancels a running job, and its worker, which may not know yet, ends some."""
        if holding := self.people.those(lambda worker: worker.held):
            worker = nth(holding, hand)
            lease = nth(worker.held, moves[0][0])
            self.calls.cancel(lease.queue, lease.id)
            if state:
                self.calls.take_cancel_token(worker.name)
                for known in [known for known in self.calls.leases if known.id == lease.id]:
                    self.calls.told(known.id, known.mark, state)
                self.calls.cancel(lease.queue, lease.id)
            self.people.end(worker, worker.held, moves)

    cancel_what_runs_1, cancel_what_runs_2 = several(
        2, _cancel_what_runs, hand=hands, moves=drawn.some_moves, state=st.none() | drawn.states
    )

    @precondition(lambda self: self.calls.leases)
    @rule(place=places, state=drawn.states)
    def told_with_any_mark(self, place: int, state: str) -> None:
        asked = [lease for lease in self.calls.leases if lease.id in self.reference.cancels]
        lease = nth(asked or self.calls.leases, place)
        self.calls.told(lease.id, lease.mark, state)

    @rule(limit=drawn.some_limits, how=st.sampled_from(["config", "set", "set"]))
    def limit(self, limit: Limiting, how: str) -> None:
        self.calls.limit(limit[0], how, limit[1])

    @rule(limits=drawn.both_limits)
    def limit_by_configuration(self, limits: Sequence[Limiting]) -> None:
        for name, text in limits:
            self.calls.limit(name, "config", text)

    @rule(name=queues | drawn.resources)
    def reset_limit(self, name: str) -> None:
        self.calls.limit(name, "reset", "")

    @rule(name=queues | drawn.resources, hand=hands)
    def limits_end(self, name: str, hand: int) -> None:
        self.calls.limit(name, "set", ":::::||")
        self.people.claim(hand, BOTH, 4)

    @rule(queue=queues, change=st.sampled_from(drawn.CHANGES))
    def change_limits(self, queue: str, change: str) -> None:
        self.calls.limit(queue, "set", change)

    @rule(queue=queues, paused=st.booleans())
    def pause(self, queue: str, paused: bool) -> None:
        self.calls.pause(queue, paused)

    @rule(queue=queues)
    def take_token(self, queue: str) -> None:
        self.calls.take_token(queue)

    # --- time, the network and arq --------------------------------------------------------------------------

    @rule(ms=st.sampled_from([1, 700, LEASE_MS // 2, LEASE_MS + 1, 2 * LEASE_MS]), beating=st.sets(hands))
    def time_passes(self, ms: int, beating: set[int]) -> None:
        self.people.let_time_pass(ms, [self.people.hands[hand] for hand in sorted(beating)])

    @precondition(lambda self: self.people.openings())
    @rule(place=places, early=st.sampled_from([0, 1]), hand=hands, jobs=drawn.limited_jobs)
    def time_comes_for_a_limit(self, place: int, early: int, hand: int, jobs: Sequence[Wanted]) -> None:
        """A limit opens, or will in a millisecond, and a worker comes."""
        self.people.enqueue(jobs)
        ms = nth(self.people.openings(), place) - early - self.reference.now
        self.people.let_time_pass(ms, self.people.hands)
        self.people.claim(hand, BOTH, 4)

    @rule(ms=st.sampled_from([-1, -1000, -1001, -2 * LEASE_MS]))
    def time_goes_back(self, ms: int) -> None:
        self.calls.pass_time(ms)

    def _silence(self, ms: int, hand: int, first: str) -> None:
        """The server was away; somebody is the first to come back."""
        self.calls.pass_time(ms)
        match first:
            case "claim":
                self.people.claim(hand, BOTH, 4)
            case "extend":
                self.people.beat(self.people.hands[hand])
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

    copy_1, copy_2, copy_3 = several(3, _copy, name=drawn.names, place=places)

    @precondition(lambda self: self.reference.live)
    @rule(place=places, to=st.sampled_from([1, None]))
    def arq_changes_a_score(self, place: int, to: int | None) -> None:
        self.calls.change_score(nth(list(self.reference.live), place), to, by=1500)

    @precondition(lambda self: self.reference.kept.passing)
    @rule(place=places)
    def a_result_runs_out(self, place: int) -> None:
        self.calls.forget_result(nth(sorted(self.reference.kept.passing), place))
