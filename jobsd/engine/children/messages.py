"""What a worker and its children say to each other: one JSON array a line.

worker -> child   [SETUP, {…}]                                    once; see daemon/child.py
child -> worker   [READY, two figures of its memory, in bytes]    or [BROKEN, cause]
worker -> child   [JOB, {queue, id, mark, …}]                     to be run
worker -> child   [CANCEL, mark]                                  its function is to end
child -> worker   [BEGUN, mark]                                   it has the job: from now on its death is a loss
child -> worker   [PEAK, bytes]                                   it has no memory left, and ends
child -> worker   [ENDED, mark, outcome's name, its fields, peak memory in bytes]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from jobsd import outcome as outcomes
from jobsd.engine.texts import repr_of
from jobsd.events import Event
from jobsd.logger import log
from jobsd.secret_values import as_they_are, holds_secrets, masked
from jobsd.store.jobs import Lease

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobsd.outcome import Outcome

SETUP, READY, BROKEN = "setup", "ready", "broken"
JOB, CANCEL, BEGUN, PEAK, ENDED = "job", "cancel", "begun", "peak", "ended"
LONGEST_LINE = 64 * 1024 * 1024
RESULT_LIMIT = 16 * 1024 * 1024
"""More than any result that is kept, in JSON: what is larger stays in the child."""

_KINDS: Mapping[str, Any] = {
    kind.__name__: kind
    for kind in (outcomes.Succeeded, outcomes.Failed, outcomes.Snoozed, outcomes.Dropped, outcomes.Died)
}


def line(*message: Any) -> bytes:
    return to_json(list(message)) + b"\n"


def read(text: bytes) -> list[Any]:
    """Return the message. Raises ValueError."""
    return from_json(text)


def job_of(lease: Lease, memory_bytes: int | None = None, *, suspect: bool = False) -> dict[str, Any]:
    """Return the job as JSON can hold it. A suspect that exceeds ``memory_bytes`` is lost; any other job fails."""
    return {
        "queue": lease.queue,
        "id": lease.id,
        "mark": lease.mark,
        "due": lease.due,
        "started_at": lease.started_at,
        "attempt": lease.attempt,
        "payload": (lease.payload or b"").decode(),
        "side": (lease.side or b"").decode(),
        "answered_at": lease.answered_at,
        "memory": memory_bytes,
        "suspect": suspect,
    }


def lease_of(job: Mapping[str, Any]) -> Lease:
    return Lease(
        job["queue"],
        job["id"],
        job["mark"],
        job["due"],
        job["started_at"],
        job["attempt"],
        job["payload"].encode(),
        job["side"].encode() or None,
        job["answered_at"],
    )


def ended(mark: str, outcome: Outcome, peak_bytes: int) -> bytes:
    """Return the line for an outcome. A result that has no JSON form, or too much of it, goes as its repr."""
    name = type(outcome).__name__
    try:
        text = line(ENDED, mark, name, list(outcome), peak_bytes)
        if isinstance(outcome, outcomes.Succeeded) and holds_secrets(text):
            shown = outcome._replace(result=from_json(as_they_are(outcome.result)), masked=masked(outcome.result))
            text = line(ENDED, mark, name, list(shown), peak_bytes)
        read(text)  # there is JSON that is written and not read: nested too deeply, numbers too long
    except (PydanticSerializationError, ValueError, RecursionError, TypeError) as error:
        cause = f"it is not JSON: {error}"
    else:
        if len(text) <= RESULT_LIMIT:
            return text
        cause = f"it is {len(text):,} bytes; the limit is {RESULT_LIMIT:,}"
    log.warning(Event.RESULT_REPLACED, cause=cause)  # in the job's context, which the line tells
    value = {"repr": repr_of(getattr(outcome, "result", None)), "replaced": cause}
    fields = outcome._replace(result=value, masked=None) if isinstance(outcome, outcomes.Succeeded) else [value]
    return line(ENDED, mark, name, list(fields), peak_bytes)


def outcome_of(name: str, fields: list[Any]) -> Outcome:
    """Return the outcome of an ENDED message."""
    return _KINDS[name](*fields)
