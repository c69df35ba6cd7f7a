"""Makes every call twice, on the real server and in the reference, and compares: answers, then all that is stored."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from redis.exceptions import ResponseError

from jobsd.store.connection import connect
from jobsd.store.jobs import _NO_MORE as NO_MORE
from jobsd.store.jobs import Jobs, Lease, NewJob, Quota
from jobsd.store.keys import FIRST_TIME, RESULT, base_key, cancel_key
from tests.model.attendance import Attendance
from tests.model.kept import KEEP_ARCHIVED, KEEP_ARCHIVED_MS, KEEP_COMPLETED
from tests.model.laws import broken_by, broken_by_claim, broken_by_enqueue, broken_by_watch
from tests.model.layout import DUMP, SENDER, SHARD, Book, Sight, counted, difference, owned, seen
from tests.model.limit_laws import (
    Closings,
    Items,
    Windows,
    keys_broken_by,
    lanes_broken_by,
    limits_broken_by,
    turns_broken_by,
)
from tests.model.openings import parts_of
from tests.model.recovery import LEASE_MS, MAX_LOSSES
from tests.model.reference import Reference
from tests.model.story import words
from tests.store.shop import START, Shop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence

    from jobsd.store.jobs import Claimed, Ending
    from tests.model.live import Job

T = TypeVar("T")


class Calls:
    """An empty database and its reference. ``past`` is every call so far, to be sent again late; ``story`` tells it."""

    def __init__(self, url: str, variants: Mapping[str, str], queues: Sequence[str]) -> None:
        self.reference = Reference(START)
        self.past: list[tuple[str, tuple[Any, ...]]] = []
        self.story: list[str] = []
        self.leases: list[Lease] = []
        """Every lease ever given, the latest last."""
        self.look_at: int | None = None
        """What the last claim was told."""
        self._queues = list(queues)
        self._book = Book({}, {}, Counter(), set(), [0, []])
        self._given: dict[tuple[str, int], list[Lease]] = {}
        self._accepted: set[str] = set()
        self._to_be_woken: set[str] = set()
        self._to_be_told: set[str] = set()
        self._disturbed: dict[str, set[int]] = defaultdict(set)
        self._attendance = Attendance()
        self._windows, self._closings, self._items = Windows(), Closings(), Items()
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
        known = {(id(job), job.at) for job in self.reference.live.values()}
        if number > last:
            answers = self.reference.enqueue(jobs)
            self._book.sent[:] = number, answers
        told = self._compare(
            "enqueue", (number, jobs), answers if number >= last else [], self._jobs.enqueue(SENDER, number, jobs)
        )
        if number > last:
            self._items.note(jobs, told)
        fresh = [job for job in self.reference.live.values() if (id(job), job.at) not in known]
        self._refuse(broken_by_enqueue(self._look(), {job.id: job.queue for job in fresh}, self.reference.now))
        due = [job for job in fresh if job.at <= self.reference.now]
        self._to_be_woken |= {job.queue for job in due if not parts_of(job.limits)}  # a lane may have no room

    def claim(self, worker: str, number: int, quotas: Sequence[Quota], slots: int) -> list[Lease]:
        """Return the leases of the answer."""
        last, before = self._book.claims.get(worker, 0), self._look()
        call = self._jobs.claim(
            worker, number, quotas, slots=slots, lease_ms=LEASE_MS, max_losses=MAX_LOSSES, records=True
        )
        claimed = self._make("claim", (worker, number, quotas, slots), call)
        if number < last:
            self._expect("claim", (claimed.next_due, claimed.lost, claimed.leases), (None, [], []))
        elif number == last:
            self.reference.rest.goes_on(self.reference.now)
            jobs = [self.reference.live[of.id] for of in self._given[worker, number] if self.reference.holds(of)]
            self._expect("claim", _told(claimed), ([], [_row(job) for job in jobs]))
        else:
            self._book.claims[worker] = number
            lost, _ = self.reference.recover([quota.queue for quota in quotas]), self._settle_dues(claimed.leases)
            self._expect("claim", claimed.lost, lost)
            self._refuse(self.reference.claim(f"{worker}:{number}:", [lease.id for lease in claimed.leases]))
            self._expect("claim", _told(claimed)[1], [_row(self.reference.live[of.id]) for of in claimed.leases])
            self._issue(worker, number, claimed)
            self._judge(before, claimed, worker, quotas, slots)
        if number >= last:
            self._attendance.claimed(worker, quotas, claimed)
        self.look_at = claimed.look_at
        return claimed.leases

    def _settle_dues(self, leases: Sequence[Lease]) -> None:
        """A job that stood in a lane when arq changed its score is due by the one or the other."""
        for lease in leases:
            if lease.due in self._disturbed.get(lease.id, ()):
                self.reference.live[lease.id].at = lease.due

    def _judge(self, before: Sight, claimed: Claimed, worker: str, quotas: Sequence[Quota], slots: int) -> None:
        """See that a claim that was answered for the first time keeps the laws."""
        sight = self._look()
        self._refuse(broken_by_claim(before, sight, claimed, quotas, slots))
        self._refuse(broken_by_watch(sight, worker, claimed, quotas, slots))
        self._refuse(limits_broken_by(sight, claimed.leases))
        put_back = self.reference.now < self.reference.latest
        self._refuse(turns_broken_by(before, sight, claimed, quotas, slots, put_back=put_back))
        self._refuse(self._windows.broken_by(sight, claimed.leases))

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
            letters = self.reference.finish(endings)
            self._book.batches[worker] = batch, letters
        answers = self._compare(
            "finish",
            (worker, batch, endings),
            letters if batch >= last else "",
            self._jobs.finish(
                worker,
                batch,
                endings,
                keep_completed_count=KEEP_COMPLETED,
                keep_archived_ms=KEEP_ARCHIVED_MS,
                keep_archived_count=KEEP_ARCHIVED,
            ),
        )
        for ending, letter in zip(endings, answers, strict=True) if batch > last else ():
            if letter == "a":
                self._accept(ending)
            self._book.refused[ending.lease.queue] += letter == "s"

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
        self._attendance.coming.update(queues)  # the caller claims at once

    def hand_on(self, worker: str, queues: Sequence[str], woken_by: str | None) -> None:
        self._compare("hand_on", (worker, queues, woken_by), None, self._jobs.hand_on(worker, queues, woken_by))
        self._attendance.hands_on(worker, queues, self.reference.now)
        own = [base for base, (_, watcher) in self._look().watches.items() if watcher == worker]
        self._refuse(f"{worker} has handed on, and watches {base}" for base in own if base in map(base_key, queues))
        self._to_be_woken |= {woken_by} if woken_by else set()

    def rerun(self, queue: str, job_id: str) -> None:
        expected = self.reference.rerun(queue, job_id)
        self._compare("rerun", (queue, job_id), expected, self._jobs.rerun(queue, job_id))
        if expected == 1:
            self._to_be_woken.add(queue)

    def cancel(self, queue: str, job_id: str) -> None:
        new = job_id not in self.reference.cancels
        expected = self.reference.cancel(queue, job_id)
        self._compare("cancel", (queue, job_id), expected, self._jobs.cancel(queue, job_id))
        if expected == "requested" and new:
            self._to_be_told.add(self.reference.live[job_id].mark.partition(":")[0])

    def told(self, job_id: str, mark: str, state: Any) -> None:
        expected = self.reference.told(job_id, mark, state)
        self._compare("told", (job_id, mark, state), expected, self._jobs.told(job_id, mark, state))

    def limit(self, name: str, how: Any, text: str) -> None:
        before = self.reference.limits.text(name)
        expected = self.reference.limit(name, how, text)
        self._compare("limit", (name, how, text), expected, self._jobs.limit(name, how, text))
        self.reference.limits.look(self.reference.now)
        if expected != before:
            self._windows.forget(name)
            self._to_be_woken |= {name} if name in self._queues else self.reference.queues

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

    def keep(self, queue: str, *numbers: int) -> None:
        """Say how many completed jobs a queue keeps, how long an archived one, and how many, as a worker does."""
        self.reference.kept.said[queue] = numbers
        said = self._redis.hset(f"{SHARD}:state", f"keep:{base_key(queue)}", ":".join(map(str, numbers)))
        self._make("keep", (queue, *numbers), said)

    def copy(self, name: str, nth: int) -> None:
        """Let a copy of the nth last call of that name arrive now."""
        past = [args for called, args in self.past if called == name]
        if past:
            self.story.append("late, again:")
            getattr(self, name)(*past[-1 - nth % len(past)])

    # --- what else happens --------------------------------------------------------------------------------

    def pass_time(self, ms: int) -> None:
        self.story.append(f"{ms} ms pass")
        self.reference.pass_time(ms)
        if ms < 0:
            self._windows.forget()
            self._closings.put_back(self.reference.latest)
            self._attendance.coming.update(self._queues)
        self._run(self._shop.jump(ms))

    def take_token(self, queue: str) -> None:
        self.story.append(f"the wake token of {queue} is taken")
        self._to_be_woken.discard(queue)
        if self._run(self._shop.tokens(queue)):
            self._attendance.coming.add(queue)

    def take_cancel_token(self, worker: str) -> None:
        self.story.append(f"{worker} takes its cancel token")
        self._to_be_told.discard(worker)
        self._run(self._redis.delete(cancel_key(worker)))

    def gone(self, worker: str) -> None:
        """A worker is there no more."""
        self._attendance.gone(worker)

    def sign_off(self, worker: str) -> None:
        self.story.append(f"{worker} signs off")
        self._book.claims[worker] = NO_MORE
        self._book.signed_off.add(worker)
        self.reference.beats.pop(worker, None)
        self._run(self._jobs.sign_off(worker))

    def change_score(self, job_id: str, to: int | None = None, by: int = 0) -> None:
        """Do to the score of a live job what arq does: ZADD when it aborts, ZINCRBY when it retries."""
        job = self.reference.live[job_id]
        self._disturbed[job_id].add(job.at)
        self._attendance.coming.add(job.queue)
        self.story.append(f"arq changes the score of {job_id} " + (f"by {by}" if to is None else f"to {to}"))
        if not job.mark:
            laned = self._run(self._redis.zscore(base_key(job.queue), job_id)) < FIRST_TIME
            job.at = to if to is not None else job.at if laned else job.at + by
        base = base_key(job.queue)
        self._run(self._redis.zincrby(base, by, job_id) if to is None else self._redis.zadd(base, {job_id: to}))

    def forget_result(self, job_id: str) -> None:
        """Let the time run out of a result that Redis forgets by itself."""
        self.story.append(f"the result of {job_id} runs out")
        self.reference.kept.forget_result(job_id)
        self._run(self._redis.delete(RESULT + job_id))

    def end_key(self, kind: str, digest: str) -> None:
        """Let the time of a unique key or a throttle be over."""
        self.story.append(f"the time of {kind} {digest} is over")
        del self.reference.keys[kind, digest]
        self._run(self._redis.delete(f"{SHARD}:{kind}:{digest}"))

    # --- what must be so ----------------------------------------------------------------------------------

    def check(self) -> None:
        """Compare all that is stored, and see that the laws are kept."""
        sight = self._look()
        self._refuse(difference(owned(self.reference, self._book, sight.picture), sight.owned))
        self._refuse(broken_by(sight, self._queues, self._disturbed.keys()))
        self._refuse(lanes_broken_by(sight, self._queues))
        self._refuse(self._closings.broken_by(sight, self._queues, self.reference.now))
        self._refuse(keys_broken_by(sight.picture))
        self._refuse(self._items.broken_by(sight.picture))
        self._refuse(f"nobody was woken for {q}" for q in self._to_be_woken if not sight.tokens[base_key(q)])
        self._refuse(f"{w} was not told to cancel" for w in self._to_be_told if not sight.cancel_tokens.get(w))
        self._refuse(self._attendance.broken_by(sight, self._queues, self.reference.now))

    def check_reached(self, held: Sequence[Lease]) -> None:
        """See that a healthy worker got something of what lives, or knows when; when nothing else is in its way."""
        if self.reference.live and not held and self.look_at is None:
            self._fail(f"nobody gets {sorted(self.reference.live)} any more")

    def check_rest(self, vain: int) -> None:
        """See that a worker is not told to look again at once, and again, where it gets nothing."""
        if vain > 10:  # the lanes that wait for one limit are looked at one by one
            self._fail(f"a worker looks in vain for {sorted(self.reference.live)}, and is to look again")

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
        if ending.move in "RSQL":
            self._to_be_woken.add(ending.lease.queue)
        if ending.move in "QPL" and not ending.record:
            self._windows.give_back(ending.lease)

    # --- how ----------------------------------------------------------------------------------------------

    def _compare(
        self,
        name: str,
        args: tuple[Any, ...],
        expected: Any,
        call: Coroutine[Any, Any, T],
    ) -> T:
        """Make the call; its answer is the expected one."""
        answer = self._make(name, args, call)
        self._expect(name, answer, expected)
        return answer

    def _make(self, name: str, args: tuple[Any, ...], call: Coroutine[Any, Any, T]) -> T:
        self.past.append((name, args))
        self.story.append(f"{name}({', '.join(map(words, args))})")
        try:
            answer = self._run(call)
        except ResponseError as error:
            self._fail(f"{name} failed: {error}")
        self.story[-1] += f" -> {words(answer)}"
        return answer

    def _expect(self, name: str, answer: Any, expected: Any) -> None:
        if answer != expected:
            self._fail(f"{name} answered {answer}, not {expected}")

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


def _row(job: Job) -> Any:
    return job.queue, job.id, job.mark, job.payload, counted(job.noted)


def _told(claimed: Claimed) -> Any:
    """Return what an answer to a claim says, each part of it once."""
    for lease in claimed.leases:
        _, _, _, started, attempt, due = lease.mark.split(":")[:6]
        assert (int(started), int(attempt), int(due)) == (lease.started_at, lease.attempt, lease.due)
        assert lease.answered_at == claimed.now
    leases = claimed.leases
    return claimed.lost, [(of.queue, of.id, of.mark, of.payload, counted(json.loads(of.side or "{}"))) for of in leases]
