"""What came of a due time, in words, for the table of the past and for the one schedule that somebody asks of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.cli.output import cell_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.admin.schedule_views import PastDue, ScheduleView

_SUCCEEDED = "succeeded"


def outcome_of(line: PastDue) -> str:
    return "not ended" if line.live else line.outcome or ""


def note_of(line: PastDue) -> str:
    """Return why it was passed over, or what its latest attempt says; of a job that goes on, how that one ended."""
    if line.live and line.outcome:
        return f"attempt {line.attempts} {line.outcome}{_why(': ', line)}"
    again = f"attempt {line.attempts}" if line.attempts > 1 else ""
    return "; ".join(filter(None, (line.reason, again, _why("", line))))


def came_of_previous(view: ScheduleView, lines: Sequence[PastDue]) -> str:
    """Return what came of the previous due time, ", " before it; "" if it is not among these lines of its history.

    Why it failed is not said of the last run, of which came_of_last says it.
    """
    at = view.previous_at
    found = [line for line in lines if at is not None and not line.manual and line.due_at <= at <= line.last_due_at]
    if not found:
        return ""
    line = found[0]
    if line.state != "fired":
        return ", waits" if line.state == "waiting" else f", passed over: {line.reason.removeprefix('missed: ')}"
    is_last = view.last is not None and view.last.job_id == line.job_id
    why = "" if is_last or line.live or line.outcome == _SUCCEEDED else _why(": ", line)
    return f", {outcome_of(line)}{why}" if outcome_of(line) else ""


def came_of_last(view: ScheduleView, lines: Sequence[PastDue]) -> str:
    """Return why the last run failed, or how its attempt before did; "" if it did not, or is not among these lines."""
    line = next((line for line in lines if view.last is not None and line.job_id == view.last.job_id), None)
    if line is None or line.outcome in {None, _SUCCEEDED}:
        return ""
    if line.live:
        return f", {cell_of(note_of(line))}"
    return _why(": ", line)


def _why(before: str, line: PastDue) -> str:
    """Return the message, in one line and without the outcome, which is said already."""
    message = (line.message or "").removeprefix(f"{line.outcome}: ")
    return f"{before}{cell_of(message)}" if message else ""
