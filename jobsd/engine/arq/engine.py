"""jobsd's engine with what arq adds around a job: hooks, counters, the limit of a burst, and arq's own services."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobsd.engine.arq import lines
from jobsd.engine.arq.aborts import Aborter
from jobsd.engine.arq.calls import Calls, Run
from jobsd.engine.arq.cron import Ticker
from jobsd.engine.arq.endings import ArqEndings
from jobsd.engine.arq.functions import NO_LIMIT_S, Functions
from jobsd.engine.arq.health import Health
from jobsd.engine.attempt import Stop
from jobsd.engine.options import QueueOptions, WorkerOptions
from jobsd.engine.reports import report
from jobsd.engine.worker import Worker
from jobsd.events import Event
from jobsd.logger import log
from jobsd.outcome import Archive, Complete, Failed, Interrupted, Outcome, Remove, Requeue, RetryAt, ScheduleAt
from jobsd.redaction import DEFAULT_FIELDS
from jobsd.store.connection import connect
from jobsd.store.keys import base_key, queue_of
from jobsd.store.neighbours import Neighbours

if TYPE_CHECKING:
    from collections.abc import Sequence

    import arq.worker

    from jobsd.engine.arq.codec import ArqCodec
    from jobsd.engine.attempt import Attempt
    from jobsd.outcome import Transition
    from jobsd.store.jobs import Lease

_LEAST_POLL_S = 0.01
_AFTERWARDS_S = 5.0
_UNBOUNDED = 2**31  # arq bounds results by time only
_CONNECTIONS = 100


class ArqEngine(Worker):
    """Runs the jobs of one arq worker; ``worker`` is what was asked for, and where arq's counters stand."""

    def __init__(
        self,
        url: str,
        worker: arq.worker.Worker,
        codec: ArqCodec,
        *,
        records: bool,
        backlog: str = "25%",
        redact: Sequence[str] = DEFAULT_FIELDS,
    ) -> None:
        queue = queue_of(worker.queue_name)
        queues, options = {queue: QueueOptions()}, _options_of(worker)
        self._redis_of_arq = connect(url, connections=_CONNECTIONS, waiting=True)
        self._neighbours = Neighbours(self._redis_of_arq, base_key(queue))
        self._calls = Calls(worker, self._of_mark, self._neighbours)
        super().__init__(
            url,
            Functions(worker, self._calls),
            queues,
            options,
            records=records,
            backlog=backlog,
            redact=redact,
            shared=worker.ctx,
            says_limits=False,
            codec=codec,
        )
        self._arq = worker
        self._arq_endings = self._endings = ArqEndings(
            self.id,
            queues,
            options,
            codec,
            self._policies,
            records=records,
            runs=self._calls.runs,
            keep_ms=None if worker.keep_result_forever else round(worker.keep_result_s * 1000),
        )
        self._report = self._tell
        self._results: dict[str, int | None] = {}
        self._afterwards: set[asyncio.Task[None]] = set()
        self._ticker = Ticker(worker, self._neighbours, self.look)
        self._keepers.append(Health(worker, self._neighbours, self.attempts))
        if worker.cron_jobs:
            self._keepers.append(self._ticker)
        if worker.allow_abort_jobs:
            every_s = max(worker.poll_delay_s, _LEAST_POLL_S)
            self._keepers.append(Aborter(self._neighbours, self.attempts, self._abort, every_s=every_s))

    def _abort(self, attempt: Attempt) -> None:
        attempt.cancel(Stop.ABORTED)
        self._runner.watch(attempt)

    def _of_mark(self, mark: str) -> Attempt:
        return self.attempts[mark]

    # --- around a job -------------------------------------------------------------------------------

    async def work(self, attempt: Attempt) -> None:
        outcome = await self._runner.run(attempt)
        run = self._calls.runs.get(attempt.lease.mark)
        if run is not None and run.called and self._arq.on_job_end:
            await self._hook("on_job_end", self._arq.on_job_end, run, attempt.timeout_ms / 1000)
        self._end_as(attempt, outcome)

    def _end_as(self, attempt: Attempt, outcome: Outcome) -> None:
        mark = attempt.lease.mark
        run = self._calls.runs.get(mark)
        if isinstance(outcome, Interrupted) and run is not None and run.called and not self._arq.retry_jobs:
            outcome = Failed("CancelledError", "cancelled: the worker shut down", for_good=True)
        super()._end_as(attempt, outcome)
        if mark not in self._held:
            self._calls.runs.pop(mark, None)

    def _written(self, lease: Lease) -> None:
        super()._written(lease)
        run = self._calls.runs.pop(lease.mark, None)
        if lease.mark in self._arq_endings.kept:
            self._results[lease.id] = self._arq_endings.kept.pop(lease.mark)
            if len(self._results) == 1:  # one call for all that are written in the meantime
                self._after(self._keep_results())
        if run is not None and run.called and self._arq.after_job_end:
            self._after(self._hook("after_job_end", self._arq.after_job_end, run, None))

    async def _hook(self, name: str, hook: Any, run: Run, limit_s: float | None) -> None:
        """Call a hook for a job that has ended; what it raises changes nothing of that."""
        try:
            async with asyncio.timeout(limit_s):
                await hook(run.ctx)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - a hook is the user's
            log.error(Event.HOOK_FAILED, hook=name, job_id=run.ctx.job_id, cause=repr(error), exc_info=error)

    async def _keep_results(self) -> None:
        await asyncio.sleep(0)
        results, self._results = self._results, {}
        try:
            await self._neighbours.keep_results(results)
        except Exception as error:  # noqa: BLE001 - the Trimmer is the net
            log.debug(Event.SERVICE_FAILED, service="Results", cause=repr(error))

    def _after(self, call: Any) -> None:
        task = self._loop.create_task(call)
        self._afterwards.add(task)
        task.add_done_callback(self._afterwards.discard)

    def _tell(self, attempt: Attempt, outcome: Outcome, transition: Transition) -> None:
        """Count, and log in arq's words where arq has some."""
        worker, run = self._arq, self._calls.runs.get(attempt.lease.mark)
        match transition:
            case Complete() | Remove():
                worker.jobs_complete += 1
            case Archive():
                worker.jobs_failed += 1
            case RetryAt() | ScheduleAt():
                worker.jobs_retried += 1
            case Requeue() if run is not None and run.called:
                worker.jobs_retried += 1
            case _:
                pass
        if not lines.ended(attempt, run, outcome, transition, results=worker.log_results):
            report(attempt, outcome, transition)

    # --- burst, start and end -----------------------------------------------------------------------

    @property
    def free_slots(self) -> int:
        free = super().free_slots
        worker = self._arq
        if not worker.burst or worker.max_burst_jobs < 0:
            return free
        started = worker.jobs_complete + worker.jobs_failed + worker.jobs_retried + len(self.attempts)
        return min(free, worker.max_burst_jobs - started)

    async def _stop_when_empty(self) -> None:
        while self._held or self._afterwards or not (self._empty or self._spent):
            await asyncio.sleep(_LEAST_POLL_S)
            if not self._held:
                self.look()
        self.stop()

    @property
    def _empty(self) -> bool:
        return self.dispatcher.idle and self.dispatcher.next_due is None

    @property
    def _spent(self) -> bool:
        return self._arq.max_burst_jobs >= 0 and self.free_slots <= 0

    async def _first_beat(self) -> None:
        await super()._first_beat()
        if self._arq.cron_jobs and not self._stop_requested.is_set():
            await self._ticker.first_tick()

    async def _drain(self) -> None:
        await super()._drain()
        if self._afterwards:
            _, late = await asyncio.wait(self._afterwards, timeout=_AFTERWARDS_S)
            for task in late:
                task.cancel()

    async def _close(self) -> None:
        await super()._close()
        await self._redis_of_arq.aclose()


def _options_of(worker: arq.worker.Worker) -> WorkerOptions:
    return WorkerOptions(
        concurrency=worker.max_jobs,
        timeout=timedelta(seconds=worker.job_timeout_s or NO_LIMIT_S),
        poll=timedelta(seconds=max(worker.poll_delay_s, _LEAST_POLL_S)),
        keep_completed_count=_UNBOUNDED,
        grace=timedelta(seconds=worker._job_completion_wait),  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    )
