"""A value of the record stream, read: an execution, or why it is none."""

from __future__ import annotations

import json
from typing import Any, cast

from pydantic_core import from_json

from jobsd.execution import UNTOLD_MARKS, Execution, UntoldRun
from jobsd.records.writing import Record, Rejected

UNKNOWN_TASK = "<unknown>"
LEDGER_LIMIT = 64 * 1024

_HEAD = 1024
_FIELDS = len(Execution._fields)
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999; what a client writes may be anything
_UNTOLD_PREFIXES = tuple(f'["{mark}",'.encode() for mark in UNTOLD_MARKS)


def decode(job_id: bytes, value: bytes) -> Record | Rejected:
    """Return what ``value`` tells. It never raises: a value that cannot be read stops no other."""
    try:
        return Record(_read(value), value)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        return Rejected(job_id.decode("utf-8", "backslashreplace"), value, f"cannot be decoded: {error}")


def _read(value: bytes) -> Execution:
    # A job may be called "lost" too; but compact JSON of its execution has no newline.
    if value.startswith(_UNTOLD_PREFIXES) and b"\n" in value:
        return _read_untold(value)
    fields = _parse(value)
    if not isinstance(fields, list):
        message = "not a JSON array"
        raise TypeError(message)
    return _checked(Execution(*cast("list[Any]", fields)[:_FIELDS]))  # a newer worker may know more fields


def _read_untold(value: bytes) -> Execution:
    facts, _, payload = value.partition(b"\n")
    run = UntoldRun._make(_parse(facts))
    job = _parse_payload(payload)
    return _checked(
        Execution(
            job_id=run.job_id,
            incarnation=_incarnation(job),
            task=job["f"] if job else UNKNOWN_TASK,
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
            args=_arguments(job, payload),
        )
    )


def _checked(execution: Execution) -> Execution:
    """What the ledger's key is made of must be there; Postgres judges the rest."""
    if type(execution.job_id) is str and type(execution.attempt) is int and type(execution.started_at) is int:
        return execution
    message = "job_id, attempt and started_at are not a text and two numbers"
    raise TypeError(message)


def _parse_payload(payload: bytes) -> dict[str, Any]:
    """Return the job's dictionary; empty if it is in another codec, or no job."""
    try:
        job = _parse(payload)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(job, dict):
        return {}
    fields = cast("dict[str, Any]", job)
    return fields if isinstance(fields.get("f"), str) else {}


def _parse(text: bytes) -> Any:
    try:
        return from_json(text)
    except ValueError:
        # The standard library also takes lone surrogates, which some clients write.
        return json.loads(text)


def _arguments(job: dict[str, Any], payload: bytes) -> dict[str, Any] | None:
    if not job:
        return None
    if len(payload) > LEDGER_LIMIT:
        return {"cut": True, "bytes": len(payload), "head": payload[:_HEAD].decode(errors="replace")}
    return {"args": job.get("a"), "kwargs": job.get("k")}


def _incarnation(job: dict[str, Any]) -> str | None:
    mark = job.get("i") or job.get("et")
    return None if mark is None else str(mark)


def _instant(ms: Any) -> int | None:
    return int(ms) if isinstance(ms, int | float) and 0 <= ms <= _LATEST_MS else None
