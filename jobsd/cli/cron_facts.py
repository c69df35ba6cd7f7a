"""What `jobsd cron next` shows of one schedule: when, why not now, and how it is set as far as that is not as ever."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobsd.admin.schedule_standing import DECLARED_IN
from jobsd.cli.cron_runs import came_of_last, came_of_previous
from jobsd.cli.cron_tables import last_of
from jobsd.cli.cron_words import ago, at_in_zone, upcoming, with_seconds
from jobsd.cli.output import as_json, printable
from jobsd.duration import format_duration
from jobsd.schedule.definition import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from jobsd.admin.schedule_views import PastDue, ScheduleView

_LABEL = 10
_LONGEST_ARGS = 300
_DURATIONS = {"missed_window", "jitter", "timeout", "retry_delay", "lateness"}
_USUAL = Schedule(name="", task="", at="")
_WINDOW = timedelta(milliseconds=_USUAL.missed_window_ms)


def facts_of(view: ScheduleView, times: Sequence[datetime], lines: Sequence[PastDue], now: datetime) -> str:
    """Return lines, each of a label and a fact, folded where the terminal is narrow.

    ``times`` are those to come, ``lines`` the latest of its history.
    """
    named = (*_times(view, times, lines, now), *_standing(view, lines, now), *_settings(view))
    title = f"{view.name}: {view.words or view.at}{f' · {view.description}' if view.description else ''}"
    told = _folded(title, 0)
    before = ""
    for label, fact in named:
        told += _folded(f"{'' if label == before else label:<{_LABEL}}{fact}", _LABEL)
        before = label
    return "\n".join(told)


def as_told(thing: ScheduleView | PastDue) -> dict[str, Any]:
    """Return the fields for JSON; durations are numbers of seconds, and are called so."""
    told: dict[str, Any] = {}
    for name, value in asdict(thing).items():
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        told |= {f"{name}_s": seconds} if name in _DURATIONS else {name: value}
    return told


def _times(
    view: ScheduleView, times: Sequence[datetime], lines: Sequence[PastDue], now: datetime
) -> Iterator[tuple[str, str]]:
    shown = [("next", at, upcoming(at, now)) for at in times]
    if view.previous_at is not None:
        shown.insert(0, ("previous", view.previous_at, ago(view.previous_at, now) + came_of_previous(view, lines)))
    seconds = with_seconds(at for _, at, _ in shown)
    for label, at, distance in shown:
        yield label, f"{at_in_zone(at, view.zone, seconds=seconds)}  {distance}"


def _standing(view: ScheduleView, lines: Sequence[PastDue], now: datetime) -> Iterator[tuple[str, str]]:
    if view.last is not None:
        yield "last run", f"{view.last.job_id}  {last_of(view, now)}{came_of_last(view, lines)}"
    if view.why:
        yield "not now", view.why


def _settings(view: ScheduleView) -> Iterator[tuple[str, str]]:
    args = as_json(view.args) if view.args else ""
    args = args if len(args) <= _LONGEST_ARGS else f"{args[:_LONGEST_ARGS]}…"
    yield "task", " ".join(filter(None, (view.task, args, f"in queue {view.queue}")))
    if view.retries is not None or view.retry_delay is not None:
        delay = "" if view.retry_delay is None else f"each after {format_duration(view.retry_delay)}"
        yield "retries", ", ".join(filter(None, ("" if view.retries is None else f"{view.retries:,}", delay)))
    if view.timeout is not None:
        yield "timeout", format_duration(view.timeout)
    yield "missed", _missed(view)
    yield "overlap", view.overlap
    if view.jitter:
        yield "jitter", f"up to {format_duration(view.jitter)}"
    if view.start_at is not None:
        yield "start", at_in_zone(view.start_at, view.zone)
    if view.end_at is not None:
        yield "end", at_in_zone(view.end_at, view.zone)
    if view.max_runs is not None:
        yield "runs", f"{view.runs:,} of {view.max_runs:,}"
    if view.holidays:
        yield "except", f"when {view.holidays} says that it is a holiday"
    where = DECLARED_IN.get(view.source)
    yield ("added", f"{view.at} at run time") if where is None else ("declared", f"{view.at} in {where}")


def _missed(view: ScheduleView) -> str:
    most = f"at most {view.missed_limit:,}" if view.missed_limit != _USUAL.missed_limit else ""
    window = f"none older than {format_duration(view.missed_window)}" if view.missed_window != _WINDOW else ""
    return ", ".join(filter(None, (view.missed, most, window)))


def _folded(text: str, indent: int) -> list[str]:
    """Return the lines of it; where there is no terminal, or an id is longer than a line, nothing is cut."""
    width = shutil.get_terminal_size((0, 0)).columns
    plain = printable(text)
    if not width:
        return [plain]
    return textwrap.wrap(
        plain,
        max(width, 2 * indent),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
