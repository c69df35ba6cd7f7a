"""Makes every call twice, on the real server and in the reference, and compares: answers, then all that is stored."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from jobsd.store.connection import connect
from jobsd.store.jobs import _NO_MORE as NO_MORE
from jobsd.store.jobs import Jobs, Lease, NewJob, Quota
from jobsd.store.keys import RESULT, base_key
from tests.model.kept import KEEP_ARCHIVED, KEEP_ARCHIVED_MS, KEEP_COMPLETED
from tests.model.laws import broken_by, broken_by_claim, broken_by_enqueue, broken_by_watch, waiting
from tests.model.layout import DUMP, SENDER, Book, Sight, counted, difference, owned, seen
from tests.model.recovery import LEASE_MS, MAX_LOSSES
from tests.model.reference import Reference
from tests.store.shop import START, Shop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence

    from jobsd.store.jobs import Claimed, Ending

T = TypeVar("T")


class Calls:
    """An empty database and its reference. ``past`` is every call so far, to be sent again late; ``story`` tells it."""

    def __init__(self, url: str, variants: Mapping[str, str], queues: Sequence[str]) -> None:
        self.reference = Reference(START)
        self.past: list[tuple[str, tuple[Any, ...]]] = []
        self.story: list[str] = []
        self.leases: list[Lease] = []
        """Every lease ever given, the latest last."""
        self._queues = list(queues)
        self._book = Book(set(), {}, {}, Counter(), set(), [0, []])
        self._given: dict[tuple[str, int], list[Lease]] = {}
        self._accepted: set[str] = set()
        self._to_be_woken: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._redis = connect(url)
        self._jobs = Jobs(self._redis, variants=variants)
        self._shop = Shop(self._redis)
        self._shop.now = START
        self._run(self._redis.flushdb())
        self.pass_time(0)

    def close(self) -> None:
        self._run(self._redis.aclose())
        self._loop.close()

    # --- the calls ----------------------------------------------------------------------------------------

    def enqueue(self, number: int, jobs: Sequence[NewJob]) -> None:
        last, answers = self._book.sent
        known = {id(job) for job in self.reference.live.values()}
        if number > last:
            answers = self.reference.enqueue(jobs)
            self._book.sent[:] = number, answers
        self._compare(
            "enqueue", (number, jobs), answers if number >= last else [], self._jobs.enqueue(SENDER, number, jobs)
        )
        stored = [job for job in self.reference.live.values() if id(job) not in known]
        self._book.queues.update(job.queue for job in stored)
        self._refuse(broken_by_enqueue(self._look(), {job.id: job.queue for job in stored}, self.reference.now))
        self._to_be_woken |= {job.queue for job in stored if job.at <= self.reference.now}

    def claim(self, worker: str, number: int, quotas: Mapping[str, int], slots: int) -> list[Lease]:
        """Return the leases of the answer."""
        last = self._book.claims.get(worker, 0)
        lost, jobs = [], []
        if number > last:
            self._book.claims[worker] = number
            lost, jobs = self.reference.claim(f"{worker}:{number}:", quotas, slots)
        elif number == last:
            self.reference.rest.goes_on(self.reference.now)
            jobs = [
                self.reference.live[lease.id] for lease in self._given[worker, number] if self.reference.holds(lease)
            ]
        claimed = self._compare(
            "claim",
            (worker, number, quotas, slots),
            (lost, [(job.queue, job.id, job.mark, job.payload, counted(job.noted)) for job in jobs]),
            self._jobs.claim(
                worker,
                number,
                [Quota(queue, quota) for queue, quota in quotas.items()],
                slots=slots,
                lease_ms=LEASE_MS,
                max_losses=MAX_LOSSES,
                records=True,
            ),
            _told,
        )
        if number > last:
            self._issue(worker, number, claimed)
        elif number < last and claimed.next_due is not None:
            self._fail("a delayed copy was told a next due time")
        if number > last:
            sight = self._look()
            self._refuse(broken_by_claim(sight, claimed, quotas, slots))
            self._refuse(broken_by_watch(sight, worker, claimed, quotas, slots))
            open_queues = quotas.keys() - self.reference.paused.keys()
            self._to_be_woken |= {queue for queue in open_queues if waiting(sight, queue, claimed.now)}
        return claimed.leases

    def extend(self, worker: str, leases: Sequence[Lease], last: bool = True) -> None:
        gone = worker in self._book.signed_off
        expected = [] if gone else self.reference.extend(worker, leases, last)
        call = self._jobs.extend(worker, LEASE_MS, leases, last=last)
        self._compare("extend", (worker, leases, last), expected, call)

    def progress(self, lease: Lease, done: int, total: int) -> None:
        expected = self.reference.progress(lease, done, total)
        self._compare("progress", (lease, done, total), expected, self._jobs.progress(lease, done, total))

    def finish(self, worker: str, batch: int, endings: Sequence[Ending]) -> None:
        last, letters = self._book.batches.get(worker, (0, ""))
        if batch > last:
            letters = "".join("a" if accepted else "s" for accepted in self.reference.finish(endings))
            self._book.batches[worker] = batch, letters
        answers = self._compare(
            "finish",
            (worker, batch, endings),
            [letter == "a" for letter in letters] if batch >= last else [],
            self._jobs.finish(
                worker,
                batch,
                endings,
                keep_completed_count=KEEP_COMPLETED,
                keep_archived_ms=KEEP_ARCHIVED_MS,
                keep_archived_count=KEEP_ARCHIVED,
            ),
        )
        for ending, accepted in zip(endings, answers, strict=True) if batch > last else ():
            if accepted:
                self._accept(ending)
            else:
                self._book.refused[ending.lease.queue] += 1

    def recover(self, queues: Sequence[str]) -> None:
        running = self._running()
        expected = self.reference.recover(queues)
        call = self._jobs.recover(queues, lease_ms=LEASE_MS, max_losses=MAX_LOSSES, records=True)
        self._compare("recover", (queues,), expected, call)
        back = running - self._running()
        self._to_be_woken |= {job.queue for job in self.reference.live.values() if job.id in back}

    def release(self, queues: Sequence[str], reasons: Sequence[str]) -> None:
        expected = self.reference.release(queues, reasons)
        self._compare("release", (queues, reasons), expected, self._jobs.release(queues, reasons))

    def rerun(self, queue: str, job_id: str) -> None:
        expected = self.reference.rerun(queue, job_id)
        self._compare("rerun", (queue, job_id), expected, self._jobs.rerun(queue, job_id))
        if expected:
            self._to_be_woken.add(queue)

    def pause(self, queue: str, paused: bool) -> None:
        was = queue in self.reference.paused
        if paused:
            self.reference.paused.setdefault(queue, self.reference.now)
        elif was:
            del self.reference.paused[queue]
            self._to_be_woken.add(queue)
        self._compare("pause", (queue, paused), paused != was, self._jobs.pause(queue, paused=paused))

    def trim(self, queue: str, keep_ms: int, keep_count: int) -> None:
        expected = self.reference.kept.trim(queue, self.reference.now, keep_ms, keep_count)
        call = self._jobs.trim(queue, keep_archived_ms=keep_ms, keep_archived_count=keep_count)
        self._compare("trim", (queue, keep_ms, keep_count), expected, call)

    def copy(self, name: str, nth: int) -> None:
        """Let a copy of the nth last call of that name arrive now."""
        past = [args for called, args in self.past if called == name]
        if past:
            self.story.append("late, again:")
            getattr(self, name)(*past[-1 - nth % len(past)])

    # --- what else happens --------------------------------------------------------------------------------

    def pass_time(self, ms: int) -> None:
        self.story.append(f"{ms} ms pass")
        self.reference.now += ms
        self._run(self._shop.jump(ms))

    def take_token(self, queue: str) -> None:
        self.story.append(f"the wake token of {queue} is taken")
        self._to_be_woken.discard(queue)
        self._run(self._shop.tokens(queue))

    def sign_off(self, worker: str) -> None:
        self.story.append(f"{worker} signs off")
        self._book.claims[worker] = NO_MORE
        self._book.signed_off.add(worker)
        self.reference.beats.pop(worker, None)
        self._run(self._jobs.sign_off(worker))

    def change_score(self, job_id: str, to: int | None = None, by: int = 0) -> None:
        """Do to the score of a live job what arq does: ZADD when it aborts, ZINCRBY when it retries."""
        job = self.reference.live[job_id]
        self.story.append(f"arq changes the score of {job_id} " + (f"by {by}" if to is None else f"to {to}"))
        if not job.mark:
            job.at = job.at + by if to is None else to
        base = base_key(job.queue)
        self._run(self._redis.zincrby(base, by, job_id) if to is None else self._redis.zadd(base, {job_id: to}))

    def forget_result(self, job_id: str) -> None:
        """Let the time run out of a result that Redis forgets by itself."""
        self.story.append(f"the result of {job_id} runs out")
        self.reference.kept.forget_result(job_id)
        self._run(self._redis.delete(RESULT + job_id))

    # --- what must be so ----------------------------------------------------------------------------------

    def check(self) -> None:
        """Compare all that is stored, and see that the laws are kept."""
        sight = self._look()
        self._refuse(difference(owned(self.reference, self._book), sight.picture))
        self._refuse(broken_by(sight, self._queues))
        self._refuse(f"nobody was woken for {q}" for q in self._to_be_woken if not sight.tokens[base_key(q)])

    def check_reached(self, held: Sequence[Lease]) -> None:
        """See that a healthy worker got something of what lives, when nothing else stands in its way."""
        if not held:
            self._fail(f"nobody gets {sorted(self.reference.live)} any more")

    def _issue(self, worker: str, number: int, claimed: Claimed) -> None:
        """Note new leases: each has a mark that no lease ever had."""
        marks = {lease.mark for lease in self.leases}
        self._refuse(f"{lease.mark} was given before" for lease in claimed.leases if lease.mark in marks)
        self._given[worker, number] = claimed.leases
        self.leases += claimed.leases

    def _accept(self, ending: Ending) -> None:
        """Note an ending that was accepted: of the latest lease of its job, for the first time."""
        mark = ending.lease.mark
        latest = [lease.mark for lease in self.leases if lease.id == ending.lease.id][-1]
        if mark != latest or mark in self._accepted:
            self._fail(f"an ending by {mark} was accepted; the latest lease of {ending.lease.id} is {latest}")
        self._accepted.add(mark)
        if ending.move in "RSQ":
            self._to_be_woken.add(ending.lease.queue)

    # --- how ----------------------------------------------------------------------------------------------

    def _compare(
        self,
        name: str,
        args: tuple[Any, ...],
        expected: Any,
        call: Coroutine[Any, Any, T],
        told: Callable[[T], Any] = lambda answer: answer,
    ) -> T:
        """Make the call; its answer, as ``told``, is the expected one."""
        self.past.append((name, args))
        self.story.append(f"{name}({', '.join(map(_words, args))})")
        answer = self._run(call)
        self.story[-1] += f" -> {_words(answer)}"
        if told(answer) != expected:
            self._fail(f"{name} answered {told(answer)}, not {expected}")
        return answer

    def _run(self, call: Awaitable[T]) -> T:
        return self._loop.run_until_complete(call)

    def _look(self) -> Sight:
        return seen(self._run(self._redis.eval(DUMP, 0)), self._queues)

    def _running(self) -> set[str]:
        return {job.id for job in self.reference.live.values() if job.mark}

    def _refuse(self, wrongs: Iterable[str]) -> None:
        if found := list(wrongs):
            self._fail("\n".join(found))

    def _fail(self, what: str) -> NoReturn:
        raise AssertionError("\n".join([what, "after", *self.story]))


def _told(claimed: Claimed) -> Any:
    """Return what an answer to a claim says, each part of it once."""
    for lease in claimed.leases:
        _, _, _, started, attempt, due = lease.mark.split(":")
        assert (int(started), int(attempt), int(due)) == (lease.started_at, lease.attempt, lease.due)
        assert lease.answered_at == claimed.now
    leases = claimed.leases
    return claimed.lost, [(of.queue, of.id, of.mark, of.payload, counted(json.loads(of.side or "{}"))) for of in leases]


def _words(value: Any) -> str:
    """Return a value as the story tells it."""
    match value:
        case Lease():
            return value.mark and f"{value.id}={value.mark}"
        case NewJob():
            return f"{value.queue}/{value.id}{value.when}"
        case tuple() if hasattr(value, "lease"):
            return f"{_words(value.lease)} {value.move} {value.at} {value.data!r}"
        case list():
            return "[" + ", ".join(map(_words, value)) + "]"
        case tuple():
            return "(" + ", ".join(map(_words, value)) + ")"
        case _:
            return str(value)
