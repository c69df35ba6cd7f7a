"""The heart: carries one leased job to a written end, and owns the parts that feed it and write for it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from jobsd.delays import DEFAULT
from jobsd.engine.attempt import Attempt, Stop
from jobsd.engine.backpressure import Backpressure
from jobsd.engine.calling import Caller
from jobsd.engine.cancels import Canceller
from jobsd.engine.children.pool import Children
from jobsd.engine.decide import Policy, decide
from jobsd.engine.dependencies import Dependencies
from jobsd.engine.dispatcher import Dispatcher
from jobsd.engine.drain import ANSWERED_WITHIN_S, Drain, quietly
from jobsd.engine.effects import decided
from jobsd.engine.endings import Endings
from jobsd.engine.finisher import Finisher
from jobsd.engine.gates import Gates
from jobsd.engine.keepers import Adopter, Recoverer, Releaser, Trimmer
from jobsd.engine.leases import Heartbeat
from jobsd.engine.options import QueueOptions, ResourceOptions, WorkerOptions, limit_texts
from jobsd.engine.outcomes import stopped_outcome
from jobsd.engine.reports import report
from jobsd.engine.runner import Runner
from jobsd.engine.shares import preference
from jobsd.engine.texts import message_of
from jobsd.engine.threads import GIVE_UP
from jobsd.engine.waker import Waker
from jobsd.events import Event
from jobsd.logger import log
from jobsd.outcome import Archive, Cancelled, Failed, Interrupted, Outcome
from jobsd.redaction import DEFAULT_FIELDS, Policies
from jobsd.store.codec import Codec, JsonCodec, UndecodableError
from jobsd.store.connection import connect
from jobsd.store.ids import worker_id
from jobsd.store.jobs import Jobs, Lease
from jobsd.store.keys import DEFAULT_SHARD, NO_CHILD, unblock_key

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from jobsd.definition import Task
    from jobsd.engine.children.process import ChildSetup
    from jobsd.service import Service

_WRITTEN_WITHIN_S = 3.0
_NO_POLICY = Policy(0, 0, DEFAULT)  # of a job that could not be read: it is never retried


class Worker:
    """Runs the jobs of some queues until it is stopped.

    ``shared`` is the dictionary that every task's context begins with; ``records`` says whether executions are
    streamed for the ledger, and ``backlog`` how much of Redis' memory those may take that wait for it before fewer
    jobs are claimed: a share or an amount; ``redact`` names fields that no record shows. ``unknown_queues`` says what
    clients of the shard may do with queues that no worker ever served (None: whatever was said before). ``resources``
    are what jobs of several queues share, ``timezone`` is that of hours which name none. The limits of queues and
    resources, and what queues keep of finished jobs, hold for all workers; with ``says_limits`` false it leaves them
    as they are. ``child`` is how a child process is started; without it none is: what asks for one runs like any
    other, and so does a job whose worker was lost.
    """

    def __init__(
        self,
        url: str,
        tasks: Mapping[str, Task[..., Any]],
        queues: Mapping[str, QueueOptions],
        options: WorkerOptions | None = None,
        *,
        shard: str = DEFAULT_SHARD,
        records: bool = False,
        backlog: str = "25%",
        redact: Sequence[str] = DEFAULT_FIELDS,
        shared: dict[str, Any] | None = None,
        unknown_queues: Literal["accept", "refuse"] | None = None,
        resources: Mapping[str, ResourceOptions] | None = None,
        timezone: str = "UTC",
        says_limits: bool = True,
        codec: Codec | None = None,
        child: ChildSetup | None = None,
    ) -> None:
        self.id = worker_id()
        self.options = options = options or WorkerOptions()
        self.attempts: dict[str, Attempt] = {}
        """What runs, by mark."""
        self._held: dict[str, Attempt] = {}  # what is leased, by mark: until its ending is answered
        self._redis = connect(url)
        self.jobs = jobs = Jobs(self._redis, shard=shard)
        self._codec = codec = codec or JsonCodec()
        self._loop = asyncio.get_running_loop()
        # What tasks do with Redis must not take the engine's connections.
        self._redis_of_tasks = connect(url, connections=max(50, options.concurrency), waiting=True)
        self._children: Children | None = None
        releasers: list[Service] = []
        if tasks:
            known = [f"task:{name}" for name in tasks]
            releasers.append(Releaser(jobs, lambda: list(queues), known, self._room, self.look))
        if child is not None:
            weights = {name: queue.weight for name, queue in queues.items()}
            in_turn = functools.partial(preference, weights, strict=options.strict)
            for_children = Releaser(jobs, in_turn, [NO_CHILD], self._room_in_children, self.look)
            releasers.append(for_children)
            self._children = Children(child, options, freed=for_children.poke)
        self._dependencies = Dependencies()
        of_tasks = Jobs(self._redis_of_tasks, shard=shard)
        caller = Caller(of_tasks, shared if shared is not None else {}, self._dependencies)
        self._policies = policies = Policies(tasks, redact)
        self._runner = Runner(tasks, options, caller, codec, policies, children=self._children, timezone=timezone)
        self._endings = Endings(self.id, queues, options, codec, policies, records=records)
        self.finisher = Finisher(jobs, self.id, options, self._written, self._end_cancelled)
        self._waker = Waker(url, [jobs.base(queue) for queue in queues], unblock_key(self.id, shard), self._token_came)
        self._gates = Gates(jobs, list(queues), self.attempts, self._waker.poke)
        self.dispatcher = Dispatcher(jobs, self.id, queues, options, self._waker, self._gates, self, records=records)
        self._heartbeat = Heartbeat(
            url,
            shard,
            self.id,
            options,
            held=self._held,
            attempts=self.attempts,
            facts={
                "host": socket.gethostname(),
                "pid": str(os.getpid()),
                "queues": " ".join(queues),
                "tasks": " ".join(tasks),
            },
            queues=list(queues),
            unknown_queues=unknown_queues,
            limits=limit_texts(queues, resources or {}, timezone) if says_limits else {},
            keep={name: queue.kept(options).to_text() for name, queue in queues.items()} if says_limits else {},
            lost=self._lost,
        )
        self._keepers: list[Service] = [
            Recoverer(jobs, options, records=records),
            Trimmer(jobs, options),
            Adopter(jobs),
            self._gates,
            Canceller(url, shard, self.id, self.attempts, self.cancel),
            *releasers,
        ]
        self.backpressure = Backpressure(jobs, self.id, backlog, self.dispatcher.throttle)
        """How much waits for the ledger; a worker that records nothing never looks."""
        if records:
            self._keepers.append(self.backpressure)
        self.ended: Counter[str] = Counter()
        """Endings so far, by finish.lua's letter."""
        self._report = report
        self._dispatching: asyncio.Task[None] | None = None
        self.left_running = 0
        """Functions that resisted to the last: the process is to end now, and they with it."""
        self.ready = asyncio.Event()
        """It has signed on and takes jobs."""
        self._stop_requested = asyncio.Event()
        self._at_once = asyncio.Event()

    @property
    def grace_s(self) -> float:
        return self.options.grace.total_seconds()

    async def work(self, attempt: Attempt) -> None:
        """Carry one leased job to a written end."""
        outcome = await self._runner.run(attempt)
        self._end_as(attempt, outcome)

    # --- what the dispatcher asks of us -------------------------------------------------------------

    @property
    def free_slots(self) -> int:
        concurrency = self.options.concurrency
        # Endings that Redis does not take hold new work back, so that they stay bounded.
        room = 2 * concurrency + 500 - len(self._held)
        return min(concurrency - len(self.attempts), room)

    def start(self, lease: Lease) -> None:
        attempt = Attempt(lease)
        self._held[lease.mark] = self.attempts[lease.mark] = attempt
        self._gates.began(lease.queue)
        if self._stop_requested.is_set():
            self._end_as(attempt, Interrupted())  # claimed before the stop, answered after it: given back
        else:
            attempt.runs_in = self._loop.create_task(self.work(attempt))

    def cancel(self, attempt: Attempt) -> None:
        """Stop what runs, for good: unless its function ends well all the same, the job goes to the archive."""
        attempt.cancel(Stop.CANCELLED)
        self._runner.watch(attempt)

    def look(self) -> None:
        """Claim now, if there is room."""
        self._waker.poke()

    def _room(self) -> int:
        """How many parked jobs this worker could take now."""
        return 0 if self.dispatcher.closed or self._stop_requested.is_set() else self.free_slots

    def _room_in_children(self) -> int:
        return 0 if self._children is None else min(self._room(), self._children.room)

    async def settled(self) -> None:
        """Return when what ended is written and the leases of what runs are prolonged."""
        await self._heartbeat.beat_now()  # however long the server is away: the time for the endings begins afterwards
        await self.finisher.drained(self.options.lease.total_seconds())
        await self._heartbeat.beat_now()

    # --- life cycle ---------------------------------------------------------------------------------

    async def run(self, *, burst: bool = False) -> None:
        """Work until ``stop``; with ``burst``, until the queues are empty. Everything is closed at the end.

        Cancelling it stops at once: what runs is cancelled and handed back.
        """
        self._heartbeat.start()
        running: list[asyncio.Task[Any]] = []
        try:
            await self._first_beat()
            await self._unless_stopped(self._dependencies.open())
            self._dispatching = self._loop.create_task(self.dispatcher.run())
            self.ready.set()
            running = [self._loop.create_task(service.run()) for service in (self.finisher, *self._keepers)]
            if burst:
                running.append(self._loop.create_task(self._stop_when_empty()))
            await self._stop_requested.wait()
        finally:
            if not self._stop_requested.is_set():  # cancelled
                self._at_once.set()
            self._stop_requested.set()
            await self._to_its_end(self._loop.create_task(self._shut_down(running)))

    async def _shut_down(self, running: list[asyncio.Task[Any]]) -> None:
        await self._drain()
        for service in (self.finisher, *self._keepers):
            service.stop()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._close()

    async def _to_its_end(self, closing: asyncio.Task[None]) -> None:
        """Wait for ``closing`` however often the wait is cancelled: what is open must be closed."""
        cancelled: asyncio.CancelledError | None = None
        while not closing.done():
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError as error:
                cancelled = error
                self._at_once.set()
        if cancelled is not None:
            raise cancelled
        closing.result()

    def stop(self) -> None:
        """Take no more jobs and end when those that run have ended, or after the grace. Again: end at once."""
        if self._stop_requested.is_set():
            self._at_once.set()
        self._stop_requested.set()

    def hold(self) -> None:
        """Take no more jobs for now; what runs goes on."""
        self.dispatcher.hold(held=True)
        log.info(Event.DAEMON_HELD, worker=self.id)

    def resume(self) -> None:
        self.dispatcher.hold(held=False)
        log.info(Event.DAEMON_RESUMED, worker=self.id)

    async def _first_beat(self) -> None:
        """Sign on before the first claim, however long Redis is away."""
        await self._unless_stopped(self._heartbeat.beat_now())

    async def _unless_stopped(self, starting: Coroutine[Any, Any, None]) -> None:
        """Wait for it, but not beyond ``stop``."""
        started = self._loop.create_task(starting)
        stop = self._loop.create_task(self._stop_requested.wait())
        try:
            await asyncio.wait({started, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            started.cancel()
        await asyncio.gather(started, return_exceptions=True)

    async def _stop_when_empty(self) -> None:
        while not (self.dispatcher.idle and self.dispatcher.next_due is None and not self._held):
            await asyncio.sleep(0.01)  # the run of a burst is short, and its end is nobody's event
            if not self._held:
                self._waker.poke()
        self.stop()

    async def _drain(self) -> None:
        log.info(Event.DAEMON_DRAINING, worker=self.id, running=len(self.attempts))
        drain = Drain(self.attempts, self.dispatcher, self._dispatching, self._waker, self.options, self._at_once)
        await drain.run()
        for attempt in list(self.attempts.values()):
            self._hand_back(attempt)
        await self.finisher.drained(_WRITTEN_WITHIN_S)

    def _hand_back(self, attempt: Attempt) -> None:
        """Write the end of a job whose function resists: this process is about to end, and with it the function."""
        task = attempt.payload.task if attempt.payload else None
        log.warning(Event.JOB_RESISTED, job_id=attempt.lease.id, task=task, reason=attempt.reason)
        self.left_running += 1
        if attempt.runs_in is not None:
            attempt.runs_in.cancel(GIVE_UP)
        stopped = stopped_outcome(attempt, asyncio.CancelledError())
        self._end_as(attempt, decided(attempt, Interrupted() if stopped is None else stopped))

    async def _close(self) -> None:
        await quietly(asyncio.wait_for(self.dispatcher.hand_on(), ANSWERED_WITHIN_S))
        if self._children is not None:
            await quietly(self._children.close())
        if not self.left_running:  # else every moment counts: a job that was handed back may run elsewhere, too
            await quietly(self._dependencies.close())
        await self._waker.close()
        await self._heartbeat.stop()
        await self._redis_of_tasks.aclose()
        await self._redis.aclose()

    # --- endings ------------------------------------------------------------------------------------

    def _end_as(self, attempt: Attempt, outcome: Outcome) -> None:
        """Hand the ending to the finisher and the slot back. A slot is free only when its function has ended."""
        lease = attempt.lease
        if self.attempts.pop(lease.mark, None) is None:
            return  # handed back at shutdown already
        self._gates.ended(lease.queue)
        self._put(attempt, outcome)
        self.dispatcher.slot_freed()

    def _put(self, attempt: Attempt, outcome: Outcome) -> None:
        transition = decide(attempt.policy or _NO_POLICY, outcome, now=attempt.now)
        try:
            ending = self._endings.make(attempt, outcome, transition)
        except Exception as error:  # noqa: BLE001 - a job that cannot be written as it ended still ends
            if attempt.payload is not None:
                attempt.payload = attempt.payload._replace(args=(), kwargs={})
            outcome = Failed("EndingError", f"its ending could not be written: {message_of(error)}")
            transition = Archive(outcome.message)
            ending = self._endings.make(attempt, outcome, transition)
        if ending is None:
            self._held.pop(attempt.lease.mark, None)
        else:
            self.ended[ending.move] += 1
            self.finisher.put(ending)
        self._report(attempt, outcome, transition)

    def _end_cancelled(self, lease: Lease) -> None:
        """End a job that was to run again as what it is: somebody has cancelled it, and it did not end by that."""
        attempt = self._held[lease.mark]
        if attempt.payload is None:  # it had not begun
            with contextlib.suppress(UndecodableError):
                attempt.payload = self._codec.decode(lease.payload)
        self._put(attempt, Cancelled("cancelled"))

    def _written(self, lease: Lease) -> None:
        self._held.pop(lease.mark, None)
        self.dispatcher.slot_freed()  # there may have been no room for the unwritten endings of more

    def _token_came(self) -> None:
        if self.free_slots <= 0 or self.dispatcher.closed:
            self.dispatcher.slot_freed()  # it has no use for it, and hands it on

    def _lost(self, leases: Sequence[Lease]) -> None:
        """Another worker has these jobs, or they are gone: stop what still runs of them."""
        for lease in leases:
            attempt = self.attempts.get(lease.mark)
            if attempt is None or attempt.stop is Stop.LEASE_LOST:
                continue  # it has ended, and the finisher will be told that it is stale; or it was told already
            log.warning(Event.LEASE_LOST, job_id=lease.id, attempt=lease.attempt)
            attempt.cancel(Stop.LEASE_LOST)
            self._runner.watch(attempt)
