"""A value of the record stream, read: an execution, or why it is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from jobsd.execution import ENDED_MARK, ENDS, LEDGER_LIMIT, UNTOLD_MARKS, Execution, JobEnd, UntoldRun
from jobsd.headers import trace_id_of
from jobsd.records.cleaning import loads
from jobsd.records.writing import Record, Rejected
from jobsd.schedule.names import SCHEDULE
from jobsd.schedule.options import is_schedule_name
from jobsd.secret_values import marks_of
from jobsd.store.codec import incarnation_at_start
from jobsd.store.ids import OUTBOX_MARK

if TYPE_CHECKING:
    from jobsd.redaction import Policies, RecordPolicy

UNKNOWN_TASK = "<unknown>"

_HEAD = 1024
_FIELDS = len(Execution._fields) - 1  # the last one does not travel
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999; what a client writes may be anything
_UNTOLD_PREFIXES = tuple(f'["{mark}",'.encode() for mark in UNTOLD_MARKS)
_END_PREFIX = f'["{ENDED_MARK}",'.encode()


def decode(job_id: bytes, value: bytes, policies: Policies) -> Record | JobEnd | Rejected | None:
    """Return what ``value`` tells, or None if its task is not recorded and there is nothing else to do.

    It never raises: a value that cannot be read stops no other. No argument goes on to the ledger that has not been
    looked at, not in what is kept of a value that is refused either.
    """
    facts = _untold_facts(value)
    try:
        if facts is None and value.startswith(_END_PREFIX) and value.endswith(b"\n"):
            return JobEnd._make(loads(value))
        if facts is None:
            return Record(_read(value), value)
        return _read_untold(facts, value[len(facts) + 1 :], policies)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raw = value if facts is None else facts
        return Rejected(job_id.decode("utf-8", "backslashreplace"), raw, f"cannot be decoded: {error}")


def _untold_facts(value: bytes) -> bytes | None:
    """Return what a script has written in front of the payload; None of a record that a worker has made."""
    # A job may be called "lost" too; but compact JSON of its execution has no newline.
    if not value.startswith(_UNTOLD_PREFIXES):
        return None
    facts, newline, _ = value.partition(b"\n")
    return facts if newline else None


def _read(value: bytes) -> Execution:
    fields = loads(value)
    if not isinstance(fields, list):
        message = "not a JSON array"
        raise TypeError(message)
    return _checked(Execution(*cast("list[Any]", fields)[:_FIELDS]))  # a newer worker may know more fields


def _read_untold(facts: bytes, payload: bytes, policies: Policies) -> Record | JobEnd | None:
    run = UntoldRun._make(loads(facts))
    job = _parse_payload(payload)
    task = job["f"] if job else UNKNOWN_TASK
    policy = policies[task]
    incarnation = _incarnation(job) or incarnation_at_start(payload)
    if not policy.records(run.mark):
        incarnation = incarnation or ""
        ends = incarnation.startswith(OUTBOX_MARK) and run.transition in ENDS
        return JobEnd(ENDED_MARK, run.job_id, incarnation) if ends else None
    execution = _checked(
        Execution(
            job_id=run.job_id,
            incarnation=incarnation,
            task=task,
            queue=run.queue,
            attempt=int(run.attempt),
            outcome=run.mark,
            transition=run.transition,
            enqueued_at=_instant(job.get("et")),
            scheduled_for=_instant(run.scheduled_for),
            started_at=int(run.started_at),
            finished_at=int(run.finished_at),
            worker=run.worker,
            message=run.message,
            args=_arguments(job, len(payload), policy.marking(marks_of(job))) if job else None,
            schedule_id=_schedule(job.get("o")),
            trace_id=_trace_id(job.get("h")),
        )
    )
    return Record(execution, facts)


def _checked(execution: Execution) -> Execution:
    """What the ledger's key is made of must be there; Postgres judges the rest."""
    if type(execution.job_id) is str and type(execution.attempt) is int and type(execution.started_at) is int:
        return execution
    message = "job_id, attempt and started_at are not a text and two numbers"
    raise TypeError(message)


def _parse_payload(payload: bytes) -> dict[str, Any]:
    """Return the job's dictionary; empty if it is in another codec, or no job."""
    try:
        job = loads(payload)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(job, dict):
        return {}
    fields = cast("dict[str, Any]", job)
    return fields if isinstance(fields.get("f"), str) else {}


def _arguments(job: dict[str, Any], size: int, policy: RecordPolicy) -> dict[str, Any] | None:
    args, kwargs = job.get("a"), job.get("k")
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        return None  # as jobs go that is none, and nobody knows what it shows
    shown = policy.arguments(cast("list[Any]", args), cast("dict[str, Any]", kwargs))
    if size <= LEDGER_LIMIT:
        return shown
    try:
        head = json.dumps(shown, separators=(",", ":"), ensure_ascii=False)[:_HEAD]
    except RecursionError:
        head = ""
    return {"cut": True, "bytes": size, "head": head}


def _trace_id(headers: Any) -> str | None:
    return trace_id_of(cast("dict[str, Any]", headers).get("traceparent")) if isinstance(headers, dict) else None


def _schedule(options: Any) -> str | None:
    name = cast("dict[str, Any]", options).get(SCHEDULE) if isinstance(options, dict) else None
    return name if is_schedule_name(name) else None


def _incarnation(job: dict[str, Any]) -> str | None:
    mark = job.get("i") or job.get("et")
    return None if mark is None else str(mark)


def _instant(ms: Any) -> int | None:
    return int(ms) if isinstance(ms, int | float) and 0 <= ms <= _LATEST_MS else None
