"""A transition as the row that finish.lua writes: the result, what is noted of the job, and its record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pydantic_core import PydanticSerializationError, to_json

from jobsd.engine.decide import timed_out_message
from jobsd.engine.texts import MESSAGE_LIMIT, REPR_LIMIT, capped, encodable, repr_of
from jobsd.events import Event
from jobsd.execution import ENDED_MARK, ENDS, LEDGER_LIMIT, RESULT_LIMIT, JobEnd
from jobsd.fingerprint import fingerprint
from jobsd.headers import trace_id_of
from jobsd.logger import log
from jobsd.outcome import (
    Archive,
    Cancelled,
    Complete,
    Died,
    Dropped,
    Expired,
    Failed,
    Interrupted,
    LeaseLost,
    LetGo,
    NoRoom,
    Outcome,
    Park,
    Postpone,
    Remove,
    Requeue,
    RetryAt,
    ScheduleAt,
    Snoozed,
    Succeeded,
    Tag,
    TimedOut,
    TooEarly,
    Transition,
    UnknownTask,
    Untagged,
)
from jobsd.schedule.names import SCHEDULE
from jobsd.schedule.options import is_schedule_name
from jobsd.store.codec import incarnation_at_start
from jobsd.store.ids import OUTBOX_MARK
from jobsd.store.jobs import Ending
from jobsd.store.looks import noted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobsd.engine.attempt import Attempt
    from jobsd.engine.options import QueueOptions, WorkerOptions
    from jobsd.redaction import Policies, RecordPolicy
    from jobsd.store.codec import Codec, Payload

_FAILURES = frozenset({"failed", "timed_out"})
_SHORT = frozenset({int, float, bool})
_FAILED_RESULT_MS = 3_600_000


class Endings:
    """Makes the endings of one worker."""

    def __init__(
        self,
        worker: str,
        queues: Mapping[str, QueueOptions],
        options: WorkerOptions,
        codec: Codec,
        policies: Policies,
        *,
        records: bool,
    ) -> None:
        self._worker = worker
        self._codec = codec
        self._policies = policies
        self._records = records
        self._keep_ms = {name: queue.kept(options).result_ms for name, queue in queues.items()}
        self._warned: set[str] = set()

    def make(self, attempt: Attempt, outcome: Outcome, transition: Transition) -> Ending | None:  # noqa: C901 - one case for each transition
        """Return the row, or None where there is nothing to write."""
        lease, now = attempt.lease, attempt.now
        match transition:
            case Complete(value):
                shown, result = self._result(attempt, value, now)
                if isinstance(outcome, Succeeded) and outcome.masked is not None:
                    replaced = shown is not value
                    shown = shown | {"repr": repr_of(outcome.masked)} if replaced else outcome.masked
                keep_ms, record = self._keep_ms[lease.queue], self._record(attempt, outcome, "completed", now, shown)
                return Ending(lease, "C", keep_ms, "", result, record)
            case RetryAt(at_ms):
                counts = not isinstance(outcome, Failed) or outcome.counts
                side = self._side(attempt, outcome, "f" if counts else None)
                return Ending(lease, "R", at_ms, side, b"", self._record(attempt, outcome, "retry", now))
            case ScheduleAt(at_ms):
                side = self._side(attempt, outcome, None)
                return Ending(lease, "S", at_ms, side, b"", self._record(attempt, outcome, "scheduled", now))
            case Requeue() if attempt.called_at is None:
                return Ending(lease, "Q", lease.due, "", b"", b"")
            case Requeue():
                side = self._side(attempt, outcome, "l" if isinstance(outcome, Died) else "x")
                return Ending(lease, "Q", lease.due, side, b"", self._record(attempt, outcome, "requeued", now))
            case Archive(cause):
                record = self._record(attempt, outcome, "archived", now)
                info, failure = self._info(attempt, outcome, cause), self._failure(attempt, outcome, cause, now)
                return Ending(lease, "A", _FAILED_RESULT_MS, info, failure, record)
            case Remove():
                return Ending(lease, "D", 0, "", b"", self._record(attempt, outcome, "removed", now))
            case Park(reason):
                return Ending(lease, "P", lease.due, reason, b"", b"")  # it never started: no record
            case Postpone(at_ms):
                return Ending(lease, "Q", at_ms, "", b"", b"")
            case Tag(limits):
                return Ending(lease, "L", lease.due, limits, b"", b"")
            case LetGo():
                return None

    def _result(self, attempt: Attempt, value: Any, now: int) -> tuple[Any, bytes]:
        """Return the result as the ledger and as Redis keep it. A result never fails a job."""
        assert attempt.payload is not None  # noqa: S101 - only a decoded job has run
        try:
            stored = self._codec.result(attempt.lease, attempt.payload, success=True, value=value, finished_at=now)
        except (PydanticSerializationError, ValueError, RecursionError, TypeError) as error:
            cause = capped(f"it is not JSON: {error}", MESSAGE_LIMIT)
        else:
            size = len(stored) - len(attempt.lease.payload or b"")  # the arguments are stored with it
            if size <= RESULT_LIMIT:
                return value, stored if self._keep_ms[attempt.lease.queue] else b""
            cause = f"it is {size:,} bytes; the limit is {RESULT_LIMIT:,}"
        if attempt.payload.task not in self._warned:
            self._warned.add(attempt.payload.task)
            log.warning(Event.RESULT_REPLACED, task=attempt.payload.task, job_id=attempt.lease.id, cause=cause)
        value = {"repr": repr_of(value), "replaced": cause}
        stored = self._codec.result(attempt.lease, attempt.payload, success=True, value=value, finished_at=now)
        return value, stored if self._keep_ms[attempt.lease.queue] else b""

    def _failure(self, attempt: Attempt, outcome: Outcome, cause: str, now: int) -> bytes:
        if attempt.payload is None:
            return b""
        kind, _, _ = told(outcome)
        error = {"type": kind, "message": cause}
        return self._codec.result(attempt.lease, attempt.payload, success=False, value=error, finished_at=now)

    def _side(self, attempt: Attempt, outcome: Outcome, counter: str | None) -> bytes:
        facts = noted(attempt.lease.side)
        facts["n"] = attempt.lease.attempt
        if counter is not None:
            facts[counter] = facts.get(counter, 0) + 1
        kind, message, _ = told(outcome)
        if kind is not None:
            facts["e"] = [kind, message]
        doubts = attempt.doubts + (isinstance(outcome, Failed) and outcome.in_doubt)
        if doubts:
            facts["d"] = doubts
        else:
            facts.pop("d", None)
        if attempt.cleared:
            facts.pop("l", None)
            facts.pop("w", None)
        self._note_loss(attempt, outcome, facts)
        facts.pop("p", None)
        return to_json(facts)

    def _note_loss(self, attempt: Attempt, outcome: Outcome, facts: dict[str, Any]) -> None:
        """Keep where the run was lost, and the most memory it had, as recover.lua does for a whole worker."""
        if isinstance(outcome, Died):
            run = [self._worker, attempt.lease.started_at, attempt.now, outcome.peak_bytes]
            facts["w"] = [*facts.get("w", []), run]

    def _info(self, attempt: Attempt, outcome: Outcome, cause: str) -> bytes:
        """Return what the archive keeps beside the payload."""
        facts = noted(attempt.lease.side)
        kind, _, trace = told(outcome)
        facts.pop("p", None)
        self._note_loss(attempt, outcome, facts)
        if isinstance(outcome, Died):
            facts["l"] = facts.get("l", 0) + 1
        facts |= {
            "n": attempt.lease.attempt,
            "f": facts.get("f", 0) + (not isinstance(outcome, Cancelled | Died)),
            "e": [kind, cause],
            "outcome": _name(outcome),
            "message": cause,
            "trace": trace,
            "due": attempt.lease.due,
        }
        return to_json(facts)

    def _record(self, attempt: Attempt, outcome: Outcome, transition: str, now: int, result: Any = None) -> bytes:
        if not self._records:
            return _end_alone(attempt, transition)
        lease, payload, named = attempt.lease, attempt.payload, _name(outcome)
        kind, message, trace = told(outcome)
        args: Any = None
        trace_id = schedule = None
        if payload is not None:
            policy = self._policies[payload.task]
            if policy.record != "all" and not policy.records(named):
                return _end_alone(attempt, transition)
            if payload.secrets:
                policy = policy.marking(payload.secrets)
            args = _shown_arguments(policy, attempt, payload)
            trace_id = trace_id_of(payload.headers.get("traceparent")) if payload.headers else None
            schedule = _schedule(payload.options) if payload.options else None
            if result is not None:
                result = _shown_result(policy, result)
                if attempt.task is not None and attempt.task.answers and message is None:
                    message = _answered(result)
        if result is not None and type(result) not in _SHORT:
            encoded = to_json(result, serialize_unknown=True)
            if len(encoded) > LEDGER_LIMIT:
                result = _cut(encoded)
        # An Execution, as a plain tuple: a named one takes three times as long. What is null at its end stays here.
        execution = (
            encodable(lease.id),
            payload.incarnation if payload else incarnation_at_start(lease.payload),
            payload.task if payload else "<unknown>",
            lease.queue,
            lease.attempt,
            named,
            transition,
            payload.enqueued_at if payload else None,
            lease.due,
            lease.started_at,
            now,
            self._worker,
            message,
            kind,
            trace,
            args,
            result,
        )
        alike = fingerprint(kind, trace, message) if kind and named in _FAILURES else None
        if trace_id is not None or alike is not None or schedule is not None:
            execution = (*execution, schedule, None, trace_id, alike)  # a batch is not known yet
        return to_json(execution, serialize_unknown=True)


def _end_alone(attempt: Attempt, transition: str) -> bytes:
    """Return what the recorder is told of a run without a record: that a job of the outbox ends by it, or nothing."""
    incarnation = incarnation_at_start(attempt.lease.payload) or ""
    if not incarnation.startswith(OUTBOX_MARK) or transition not in ENDS:
        return b""
    return to_json(JobEnd(ENDED_MARK, attempt.lease.id, incarnation)) + b"\n"


def _shown_arguments(policy: RecordPolicy, attempt: Attempt, payload: Payload) -> dict[str, Any]:
    if policy.looks or attempt.called_at is None:  # what never ran may be anything
        args = policy.arguments(payload.args, payload.kwargs)
    else:
        args = {"args": payload.args, "kwargs": payload.kwargs}
    if len(attempt.lease.payload or b"") > LEDGER_LIMIT:
        return _cut(to_json(args, serialize_unknown=True))
    return args


def _shown_result(policy: RecordPolicy, result: Any) -> Any:
    if isinstance(result, dict):
        fields = cast("dict[str, Any]", result)
        if fields.keys() == {"repr", "replaced"}:  # by ``_result``, or in a child process
            result = fields | {"repr": policy.spoken(str(fields["repr"]))}
    return policy.result(result)


def _schedule(options: Mapping[str, Any]) -> str | None:
    name = options.get(SCHEDULE)
    return name if is_schedule_name(name) else None  # what a client writes may be anything


def _answered(result: Any) -> str | None:
    """Return the message in what a scheduled job has returned, as the ledger shows it."""
    message = cast("dict[Any, Any]", result).get("message") if isinstance(result, dict) else None
    return capped(message, MESSAGE_LIMIT) if isinstance(message, str) and message else None


def _cut(encoded: bytes) -> dict[str, Any]:
    return {"cut": True, "bytes": len(encoded), "head": encoded[:REPR_LIMIT].decode(errors="replace")}


def _name(outcome: Outcome) -> str:
    match outcome:
        case Succeeded():
            return "succeeded"
        case Failed() | UnknownTask() | NoRoom() | TooEarly() | Untagged():  # the last four leave no record
            return "failed"
        case TimedOut():
            return "timed_out"
        case Expired():
            return "expired"
        case Snoozed():
            return "snoozed"
        case Dropped():
            return "dropped"
        case Cancelled():
            return "cancelled"
        case Interrupted():
            return "interrupted"
        case LeaseLost() | Died():
            return "lost"


def told(outcome: Outcome) -> tuple[str | None, str | None, str | None]:
    """Return error type, message and trace."""
    match outcome:
        case Succeeded(message=message):  # most do
            return None, message, None
        case Failed(error_type, message, trace):
            return error_type, message, trace
        case Expired(message):
            return None, message, None
        case TimedOut(limit_ms, trace):
            return "TimeoutError", timed_out_message(limit_ms), trace
        case Died(message):
            return "LostError", message, None
        case Dropped(message):
            return None, message, None
        case Cancelled(message):
            return "CancelledError", message, None
        case Interrupted():
            return None, "interrupted: the worker shut down", None
        case Snoozed(delay_ms):
            return None, f"snoozed for {delay_ms / 1000:g} s", None
        case _:
            return None, None, None
