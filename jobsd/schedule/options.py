"""Checks what people write of a schedule, wherever they write it, and makes a Schedule of it. Read schedule_of first.

READERS has a function for each option: it returns the value as a Schedule has it, or raises ValueError with a sentence
that repeats what was given and says what is allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeGuard, cast, get_args

from pydantic_core import PydanticSerializationError, from_json, to_json

from jobsd.clock import ms_from_datetime
from jobsd.duration import duration_ms, format_duration, parse_duration
from jobsd.errors import ScheduleDefinitionError
from jobsd.job import QUEUE_ALLOWED, is_queue_name
from jobsd.schedule.definition import Missed, Overlap, Schedule
from jobsd.schedule.holidays import name_of
from jobsd.secret_values import as_they_are
from jobsd.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.schedule.definition import Source

NAME_ALLOWED = "1 to 80 of A-Z a-z 0-9 . _ : -"

_NAME = re.compile(r"[A-Za-z0-9._:-]{1,80}")
_TASK = re.compile(r"[A-Za-z0-9_.:<>-]{1,200}")
_LONGEST_MS = 366 * 86_400_000
_LONGEST_JITTER_MS = 86_400_000
_LONGEST_DESCRIPTION = 1000
_UNWRITABLE = {"\0", *map(chr, range(0xD800, 0xE000))}
"""Characters that no store takes."""
_LARGEST_ARGS = 1_000_000  # the payload, which they are in, may be 1 MiB
_SHOWN = 80


ELSEWHERE = dict.fromkeys(("cron", "crontab", "schedule", "expression", "when"), "at") | {"interval": "every"}
"""What options are called elsewhere -> what they are called here."""


def is_schedule_name(name: object) -> TypeGuard[str]:
    return isinstance(name, str) and bool(_NAME.fullmatch(name))


def schedule_of(
    name: object,
    written: Mapping[str, Any],
    *,
    source: Source,
    zone: str = "UTC",
    both_days: bool = False,
) -> Schedule:
    """Return the schedule that ``written`` describes: options by name as OPTIONS has them, None is not given.

    ``task`` and one of ``at`` and ``every`` are needed; ``zone`` is that of schedules that name none. Raises
    ScheduleDefinitionError with everything that is wrong.
    """
    problems: list[tuple[str, str]] = []
    if not is_schedule_name(name):
        problems.append(("name", f"{_short(name)} is no name for a schedule; allowed are {NAME_ALLOWED}"))
    read: dict[str, Any] = {"zone": zone}
    for option, value in written.items():
        if option not in READERS:
            problems.append((option, f"unknown option; {_near(option, OPTIONS)}"))
        elif value is not None:
            try:
                read[option] = READERS[option](value)
            except ValueError as error:
                problems.append((option, str(error)))
    problems += problems_together(written, zone=zone, both_days=both_days)
    if problems:
        raise ScheduleDefinitionError(schedule=name, problems=problems)
    at = read.pop("at", None) or read.pop("every")
    args, kwargs = read.pop("args", ((), {}))
    fields = {_FIELDS.get(option, option): value for option, value in read.items()}
    holidays: Any = written.get("holidays")
    return Schedule(
        **fields,
        name=cast("str", name),
        at=at,
        args=args,
        kwargs=kwargs,
        both_days=both_days,
        source=source,
        is_holiday=None if isinstance(holidays, str) else holidays,
    )


def problems_together(written: Mapping[str, Any], *, zone: str, both_days: bool = False) -> list[tuple[str, str]]:
    """Return what is missing, and what is right by itself but not with the rest; not what is wrong by itself."""
    problems: list[tuple[str, str]] = []
    if written.get("task") is None:
        problems.append(("task", "it is missing: the name of the task that is run"))
    given = [option for option in ("at", "every") if written.get(option) is not None]
    if len(given) == 1:
        read = {option: _read(option, written) for option in (given[0], "zone", "seconds")}
        if at := read[given[0]]:
            found = _expression_problem(at, read["zone"] or zone, seconds=bool(read["seconds"]), both_days=both_days)
            problems += [(given[0], found)] if found else []
    elif given:
        problems.append(("every", "at is given as well; a schedule has one of the two"))
    elif not written.keys() & ELSEWHERE.keys():  # what was meant is told with what is unknown
        problems.append(("at", 'when it is due is missing: at = "0 2 * * *", or every = "1h30m"'))
    start, end = _read("start", written), _read("end", written)
    if start is not None and end is not None and end <= start:
        problems.append(("end", f"{_short(written['end'])} is not after start, {_short(written['start'])}"))
    return problems


def _read(option: str, written: Mapping[str, Any]) -> Any:
    value = written.get(option)
    try:
        return None if value is None else READERS[option](value)
    except ValueError:
        return None


def _expression_problem(at: str, zone: str, *, seconds: bool, both_days: bool) -> str | None:
    from jobsd.expressions import parse  # noqa: PLC0415 - most tasks have no schedule

    try:
        parse(at, zone=zone, seconds=seconds, both_days=both_days, anchor_ms=0)
    except ModuleNotFoundError:  # a service that only shares the tasks' module has no cronsim; the daemon will see
        return None
    except ValueError as error:
        return str(error).removeprefix("schedule ")
    return None


def _short(value: object) -> str:
    shown = value.isoformat() if isinstance(value, datetime) else repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _near(given: str, known: tuple[str, ...]) -> str:
    meant = ELSEWHERE.get(given.lower())
    near = [meant] if meant else get_close_matches(given.lower(), known, 1)
    return f"did you mean {near[0]!r}?" if near else f"allowed are {', '.join(known)}"


def _at(value: object) -> str:
    if isinstance(value, datetime):
        _instant(value)
        return f"@once {value.isoformat()}"
    if not isinstance(value, str) or not value.strip():
        msg = f"{_short(value)} is no expression{_in_place_of(value)}"
        raise ValueError(msg)
    return value


def _in_place_of(value: object) -> str:
    """Return what to write instead of what is no text."""
    from jobsd.schedule.in_code import cron  # noqa: PLC0415 - that room needs this one

    if not isinstance(value, cron):
        return ', such as "0 2 * * *" or "@daily 2:00"'
    written = dict(value.written)
    at, every = written.pop("at"), written.pop("every")
    usual = {"seconds": False, "enabled": True}
    said = [f"{option} = {_short(given)}" for option, given in written.items() if given != usual.get(option)]
    return f"; write its text, {_at(at) if every is None else _every(every)!r}" + (
        f", and beside it {', '.join(said)}" if said else ""
    )


def _every(value: object) -> str:
    text = value.strip().removeprefix("@every ") if isinstance(value, str) else value
    every = parse_duration(text)
    if every < timedelta(seconds=1) or every.microseconds:
        msg = f"{_short(value)} is not one second or more, in whole seconds"
        raise ValueError(msg)
    return f"@every {text if isinstance(text, str) else format_duration(every)}"


def _task(value: object) -> str:
    name = getattr(value, "name", value)  # a Task may stand for its name
    if not isinstance(name, str) or not _TASK.fullmatch(name):
        msg = f"{_short(value)} is no name of a task; one has 1 to 200 of A-Z a-z 0-9 _ . : -"
        raise ValueError(msg)
    return name


def _zone(value: object) -> str:
    if not isinstance(value, str):
        msg = f'{_short(value)} is not the name of a time zone, such as "UTC" or "Asia/Jakarta"'
        raise ValueError(msg)  # noqa: TRY004 - see READERS
    zone_named(value)
    return value


def _queue(value: object) -> str:
    if not isinstance(value, str) or not is_queue_name(value):
        msg = f"{_short(value)} is no name for a queue; allowed are {QUEUE_ALLOWED}"
        raise ValueError(msg)
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        msg = f"{_short(value)} is not true or false"
        raise ValueError(msg)  # noqa: TRY004 - see READERS
    return value


def _whole(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            msg = f"{_short(value)} is not a whole number, {low} to {high:,}"
            raise ValueError(msg)
        return value

    return read


def _duration(*, least: int = 0, most: int = _LONGEST_MS) -> Callable[[object], int]:
    def read(value: object) -> int:
        found = duration_ms(value)
        if not least <= found <= most:
            bounds = f"{'more than 0' if least else '0s'} to {format_duration(timedelta(milliseconds=most))}"
            msg = f"{_short(value)} is out of range; allowed is {bounds}"
            raise ValueError(msg)
        return found

    return read


def _one_of(kind: Any) -> Callable[[object], str]:
    choices: tuple[str, ...] = get_args(kind)

    def read(value: object) -> str:
        if value not in choices:
            near = get_close_matches(str(value).lower(), choices, 1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            told = ", ".join(f'"{choice}"' for choice in choices)
            msg = f"{_short(value)} is not one of {told}{hint}"
            raise ValueError(msg)
        return cast("str", value)

    return read


def _instant(value: object) -> int:
    at = value
    if isinstance(value, str):  # a variable of the environment has no other form
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            at = None
    if not isinstance(at, datetime) or at.tzinfo is None:
        msg = f"{_short(value)} is not an instant with its zone, such as 2026-11-30T09:00:00+07:00"
        raise ValueError(msg)
    from jobsd.expressions.instants import EARLIEST, LATEST  # noqa: PLC0415 - most tasks have no schedule

    ms = ms_from_datetime(at)
    if not EARLIEST * 1000 <= ms < LATEST * 1000:
        msg = f"{_short(value)} lies outside of the years 1970 to 9997"
        raise ValueError(msg)
    return ms


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_DESCRIPTION or not _UNWRITABLE.isdisjoint(value):
        allowed = f"a text of at most {_LONGEST_DESCRIPTION:,} characters, none of them zero or half of a pair"
        msg = f"{_short(value)} is not {allowed}"
        raise ValueError(msg)
    return value


def _args(value: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments by position and by name, as JSON has them: a store gives them back so."""
    if not isinstance(value, Mapping | list | tuple):
        msg = f"{_short(value)} is neither a table of arguments by name nor a list of them"
        raise ValueError(msg)  # noqa: TRY004 - see READERS
    given = cast("Mapping[Any, Any] | list[Any] | tuple[Any, ...]", value)
    odd = [key for key in given if not _is_parameter(key)] if isinstance(given, Mapping) else []
    if odd:
        msg = f"{_short(odd[0])} is no name of a parameter"
        raise ValueError(msg)
    try:
        encoded = to_json(given)
        json.loads(encoded, parse_constant=_refuse_constant)
        hidden = as_they_are(given) != encoded
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        msg = f"they have no JSON form: {error}"
        raise ValueError(msg) from None
    if hidden:
        msg = "they hold a secret, and definitions are kept as they are written; let the task read it where it is kept"
        raise ValueError(msg)
    if len(encoded) > _LARGEST_ARGS:
        msg = f"they are {len(encoded):,} bytes of JSON; at most {_LARGEST_ARGS:,} are allowed"
        raise ValueError(msg)
    plain: Any = from_json(encoded)
    if _has_zero(plain):
        msg = "they hold a zero character, which Postgres takes in no text"
        raise ValueError(msg)
    return ((), cast("dict[str, Any]", plain)) if isinstance(plain, dict) else (tuple(plain), {})


def _has_zero(value: Any) -> bool:
    if isinstance(value, dict):
        given = cast("dict[str, Any]", value)
        return any(_has_zero(key) or _has_zero(item) for key, item in given.items())
    if isinstance(value, list):
        return any(map(_has_zero, cast("list[Any]", value)))
    return isinstance(value, str) and "\0" in value


def _refuse_constant(name: str) -> None:
    msg = f"{name} is no number of JSON"
    raise ValueError(msg)


def _is_parameter(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier() and not name.startswith("_")


READERS: dict[str, Callable[[Any], Any]] = {
    "task": _task,
    "at": _at,
    "every": _every,
    "zone": _zone,
    "seconds": _truth,
    "args": _args,
    "queue": _queue,
    "timeout": _duration(least=1),
    "retries": _whole(0, 1000),
    "retry_delay": _duration(),
    "missed": _one_of(Missed),
    "missed_limit": _whole(1, 1000),
    "missed_window": _duration(least=1),
    "overlap": _one_of(Overlap),
    "jitter": _duration(most=_LONGEST_JITTER_MS),
    "start": _instant,
    "end": _instant,
    "max_runs": _whole(1, 1_000_000_000),
    "enabled": _truth,
    "description": _text,
    "holidays": name_of,
}
OPTIONS = tuple(READERS)
"""The names of all options, wherever a schedule is declared."""

_FIELDS = {
    "timeout": "timeout_ms",
    "retry_delay": "retry_delay_ms",
    "missed_window": "missed_window_ms",
    "jitter": "jitter_ms",
    "start": "start_ms",
    "end": "end_ms",
}
