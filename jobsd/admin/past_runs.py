"""What came of due times, as it is shown. Without a ledger, results and the archive in Redis say how runs ended."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobsd.admin.schedule_views import REASONS, PastDue, instant_of
from jobsd.clock import utc_from_ms
from jobsd.store.codec import decode_result
from jobsd.store.looks import noted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobsd.client import Client
    from jobsd.schedule.state import Past


def past_due(line: Past, zone: str) -> PastDue:
    late = line.started_at is not None
    return PastDue(
        schedule=line.name,
        zone=zone,
        due_at=utc_from_ms(line.due),
        last_due_at=utc_from_ms(line.due if line.last is None else line.last),
        state=line.state,
        reason=REASONS.get(line.reason, line.reason),
        due_times=line.due_times,
        manual=line.manual,
        job_id=line.job_id,
        live=line.live,
        decided_at=utc_from_ms(line.decided_at),
        started_at=instant_of(line.started_at),
        finished_at=instant_of(line.finished_at),
        lateness=timedelta(milliseconds=(line.started_at or 0) - line.due) if late else None,
        outcome=line.outcome,
        attempts=line.attempts,
        message=line.message,
    )


async def with_results(lines: Sequence[Past], queues: Mapping[str, str], client: Client) -> list[Past]:
    """Return the lines with what Redis still knows of their jobs that have ended. ``queues`` is schedule -> queue."""
    return [
        await _with_result(line, queues.get(line.name), client) if line.job_id and not line.live else line
        for line in lines
    ]


async def _with_result(line: Past, queue: str | None, client: Client) -> Past:
    looks = client.following().looks
    stored = await looks.result(line.job_id)
    if stored is not None:
        result = decode_result(stored)
        return line._replace(
            started_at=result.started_at if (result.attempt or 0) <= 1 else None,  # it is that of the last attempt
            finished_at=result.finished_at,
            outcome="succeeded" if result.success else "failed",
            attempts=result.attempt or 0,
            message=None if result.success else result.message,
        )
    if queue is None:
        return line
    info: dict[str, Any] = noted((await looks.dead(queue, line.job_id))[1])
    if not info:
        return line
    error = info.get("e") or [None, None]
    return line._replace(outcome=info.get("outcome") or "failed", attempts=info.get("n", 0), message=error[1])
