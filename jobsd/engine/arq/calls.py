"""One call of an arq function: what is checked before it, what it is handed, and what its errors mean.

arq's rule: ``Retry``, ``RetryJob`` and a cancellation run again, any other exception ends the job. Tries are
counted at the start: the job whose try would be one too many fails then. A try is what a failure costs; a
worker's shutdown or death costs none, and so ``job_try`` counts neither.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import arq.worker
from arq.utils import ms_to_datetime

from jobsd.clock import monotonic
from jobsd.engine.arq import lines
from jobsd.engine.arq.codec import TRY
from jobsd.engine.attempt import Attempt, Stop
from jobsd.outcome import Retry
from jobsd.store.looks import noted

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from arq.cron import CronJob
    from arq.worker import Function

    from jobsd.context import Context
    from jobsd.store.neighbours import Neighbours

_RETRIES = "r"  # a jobsd client's option: then the engine counts


class Run:
    """One run, until its ending is written and its last hook has ended."""

    __slots__ = ("began", "called", "ctx", "error", "is_cron", "job_try", "refused", "took_s")

    def __init__(self, ctx: Context, job_try: int, *, is_cron: bool) -> None:
        self.ctx = ctx
        self.job_try = job_try
        self.is_cron = is_cron
        self.called = False
        """It came to the call: the hooks of its end are called too."""
        self.refused = False
        """It must not come to the call, and the log says so."""
        self.error: BaseException | None = None
        self.began = monotonic()
        self.took_s = 0.0


def job_try_of(attempt: Attempt) -> int:
    """Return arq's number of this try: those before it that failed, and what the client began with."""
    first = attempt.payload.options.get(TRY, 1) if attempt.payload else 1
    return int(noted(attempt.lease.side).get("f", 0)) + int(first)


class Calls:
    """Calls the functions of one worker. ``attempt_of`` finds what runs by its mark."""

    def __init__(self, worker: arq.worker.Worker, attempt_of: Callable[[str], Attempt], neighbours: Neighbours) -> None:
        self._worker = worker
        self._attempt_of = attempt_of
        self._neighbours = neighbours
        self.runs: dict[str, Run] = {}
        """What was called and is not written yet, by mark."""

    async def call(self, found: Function | CronJob, ctx: Context, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        worker, attempt = self._worker, self._attempt_of(ctx.token)
        run = self._open(attempt, ctx, is_cron=hasattr(found, "next_run"))
        try:
            if worker.allow_abort_jobs:
                await self._stop_if_aborted(attempt)
            self._check_tries(attempt, run, found.max_tries)
            if worker.on_job_start:
                await worker.on_job_start(ctx)
            run.called = True
            run.began = monotonic()
            lines.started(attempt, run)
            return await found.coroutine(ctx, *args, **kwargs)
        except BaseException as error:
            run.error = error
            if attempt.stop is None and worker.retry_jobs and (delay := _wish(error)) is not None:
                raise Retry(delay) from error
            raise
        finally:
            run.took_s = monotonic() - run.began

    def refuse_unknown(self, name: str, ctx: Context) -> NoReturn:
        """Fail the job of a function that is not registered."""
        run = self._open(self._attempt_of(ctx.token), ctx, is_cron=False)
        lines.not_found(self._attempt_of(ctx.token), name)
        run.refused, run.error = True, arq.worker.JobExecutionFailed(f"function {name!r} not found")
        raise run.error

    def _open(self, attempt: Attempt, ctx: Context, *, is_cron: bool) -> Run:
        ctx["job_try"] = job_try = job_try_of(attempt)
        if attempt.payload is not None:
            ctx["enqueue_time"] = ms_to_datetime(attempt.payload.enqueued_at)  # in the zone of ARQ_TIMEZONE
        run = self.runs[attempt.lease.mark] = Run(ctx, job_try, is_cron=is_cron)
        return run

    async def _stop_if_aborted(self, attempt: Attempt) -> None:
        asked_at = await self._neighbours.abort_of(attempt.lease.id)
        if asked_at is not None and not is_older(asked_at, attempt):
            attempt.stop = attempt.stop or Stop.ABORTED
            raise asyncio.CancelledError

    def _check_tries(self, attempt: Attempt, run: Run, own: int | None) -> None:
        most = self._worker.max_tries if own is None else own
        if attempt.payload is not None and _RETRIES not in attempt.payload.options and run.job_try > most:
            lines.tries_exceeded(attempt, run, most)
            run.refused = True
            msg = f"max {most} retries exceeded"
            raise arq.worker.JobExecutionFailed(msg)


def is_older(asked_at: int, attempt: Attempt) -> bool:
    """Tell whether an abort was asked for before the job was there: it meant another job of that id."""
    return attempt.payload is not None and asked_at < attempt.payload.enqueued_at


def _wish(error: BaseException) -> timedelta | None:
    """Return after what delay the error wants the job to run again; None if it does not."""
    match error:
        case arq.worker.Retry():
            return timedelta(milliseconds=max(0, error.defer_score or 0))
        case asyncio.CancelledError() | arq.worker.RetryJob():
            return timedelta(0)
        case _:
            return None
