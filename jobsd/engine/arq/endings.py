"""Results in arq's form, with the exception itself in them, kept as long as arq would keep them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import arq.worker
from arq.jobs import DeserializationError, serialize_result
from pydantic_core import to_json

from jobsd.engine.arq.calls import job_try_of
from jobsd.engine.arq.codec import is_ours
from jobsd.engine.arq.functions import ArqTask
from jobsd.engine.endings import Endings
from jobsd.engine.texts import repr_of
from jobsd.outcome import Cancelled, Outcome, TimedOut, Transition
from jobsd.store.keys import base_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobsd.engine.arq.calls import Run
    from jobsd.engine.arq.codec import ArqCodec
    from jobsd.engine.attempt import Attempt
    from jobsd.engine.options import QueueOptions, WorkerOptions
    from jobsd.redaction import Policies
    from jobsd.store.jobs import Ending

FOR_EVER_MS = 100 * 365 * 86_400_000
"""As long as the scripts keep what arq never forgets; the key itself then loses its end."""


class ArqEndings(Endings):
    """``runs`` are those that are not written yet, by mark; ``keep_ms`` is the worker's own time of a result."""

    def __init__(
        self,
        worker: str,
        queues: Mapping[str, QueueOptions],
        options: WorkerOptions,
        codec: ArqCodec,
        policies: Policies,
        *,
        records: bool,
        runs: Mapping[str, Run],
        keep_ms: int | None,
    ) -> None:
        super().__init__(worker, queues, options, codec, policies, records=records)
        self._arq = codec
        self._runs = runs
        self._own_keep_ms = keep_ms
        self.kept: dict[str, int | None] = {}
        """How long the results of the moment are to be kept, by mark; None is for ever."""

    def make(self, attempt: Attempt, outcome: Outcome, transition: Transition) -> Ending | None:
        ending = super().make(attempt, outcome, transition)
        if ending is None or ending.move not in {"C", "A"}:
            return ending
        keep_ms = attempt.task.keep_ms if isinstance(attempt.task, ArqTask) else self._own_keep_ms
        if keep_ms == 0 or not ending.result:
            return ending._replace(result=b"")
        if ending.move == "C" or keep_ms is None:  # a failed job's result ends by itself
            self.kept[attempt.lease.mark] = keep_ms
        return ending._replace(at=FOR_EVER_MS if keep_ms is None else keep_ms)

    def _result(self, attempt: Attempt, value: Any, now: int) -> tuple[Any, bytes]:
        if is_ours(attempt.lease.payload):
            return super()._result(attempt, value, now)
        return value, self._stored(attempt, value, now, success=True)

    def _failure(self, attempt: Attempt, outcome: Outcome, cause: str, now: int) -> bytes:
        if is_ours(attempt.lease.payload):
            return super()._failure(attempt, outcome, cause, now)
        return self._stored(attempt, self._error(attempt, outcome, cause), now, success=False)

    def _error(self, attempt: Attempt, outcome: Outcome, cause: str) -> BaseException:
        """Return what arq's ``Job.result()`` shall raise."""
        run = self._runs.get(attempt.lease.mark)
        if attempt.lease.payload is None:
            return arq.worker.JobExecutionFailed("job expired")
        if attempt.payload is None:
            return DeserializationError("unable to deserialize job")
        if isinstance(outcome, TimedOut):
            return TimeoutError()
        if isinstance(outcome, Cancelled):
            return asyncio.CancelledError()
        return arq.worker.JobExecutionFailed(cause) if run is None or run.error is None else run.error

    def _stored(self, attempt: Attempt, value: Any, now: int, *, success: bool) -> bytes:
        lease, payload = attempt.lease, attempt.payload
        run = self._runs.get(lease.mark)
        task = payload.task if payload else "<unknown>"
        stored = serialize_result(
            task,
            payload.args if payload else (),
            payload.kwargs if payload else {},
            run.job_try if run else job_try_of(attempt),
            payload.enqueued_at if payload else 0,
            success,
            value,
            lease.started_at,
            now,
            f"{lease.id}:{task}",
            base_key(lease.queue),
            lease.id,
            serializer=self._arq.serializer(lease.payload),
        )
        return stored or b""  # it could not even be written that it could not be written; arq keeps nothing then

    def _record(self, attempt: Attempt, outcome: Outcome, transition: str, now: int, result: Any = None) -> bytes:
        try:
            return super()._record(attempt, outcome, transition, now, result)
        except Exception:  # noqa: BLE001 - arq's values may be anything; a record of them never fails a job
            payload = attempt.payload
            if payload is not None:
                policy = self._policies[payload.task].marking(payload.secrets)
                shown = policy.arguments(payload.args, payload.kwargs)
                kwargs = {str(name): _presentable(value) for name, value in shown["kwargs"].items()}
                attempt.payload = payload._replace(args=tuple(map(_presentable, shown["args"])), kwargs=kwargs)
                result = policy.result(result)
            record = super()._record(attempt, outcome, transition, now, _presentable(result))
            attempt.payload = payload
            return record


def _presentable(value: Any) -> Any:
    try:
        to_json(value, serialize_unknown=True)
    except Exception:  # noqa: BLE001 - see above
        return {"repr": repr_of(value)}
    return value
