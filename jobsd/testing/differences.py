"""Two calls side by side: are they the same, and if not, in what do they differ."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from jobsd.duration import duration_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.job import JobOptions, JobRequest

_DURATIONS = frozenset({"delay", "timeout", "unique_for", "debounce", "throttle"})
_NONE = "nothing"


def differences(
    mine: JobRequest[Any], my_arguments: dict[str, Any], theirs: JobRequest[Any], their_arguments: dict[str, Any]
) -> Iterator[str]:
    """Yield what ``mine``, the captured one, has other than ``theirs``, one thing a line."""
    if mine.task != theirs.task:
        yield _line("task", mine.task, theirs.task)
    if mine.queue != theirs.queue:
        yield _line("queue", mine.queue, theirs.queue)
    for name in my_arguments.keys() | their_arguments.keys():
        if name not in my_arguments:
            yield _line(f"argument {name}", None, their_arguments[name])
        elif name not in their_arguments:
            yield _line(f"argument {name}", my_arguments[name], None)
        elif not _equal(my_arguments[name], their_arguments[name]):
            yield _line(f"argument {name}", my_arguments[name], their_arguments[name])
    my_options, their_options = _given(mine.options), _given(theirs.options)
    for name in my_options.keys() | their_options.keys():
        if _normal(name, my_options.get(name)) != _normal(name, their_options.get(name)):
            yield _line(f"option {name}", my_options.get(name), their_options.get(name))


def text_of(request: JobRequest[Any], arguments: dict[str, Any]) -> str:
    """Return a call as a test shows it: ``<email:send(to='ann', queue 'low', delay '5m')>``."""
    parts = [f"{name}={value!r}" for name, value in arguments.items()]
    parts += [f"queue {request.queue!r}"] if request.queue != "default" else []
    parts += [f"{name} {value!r}" for name, value in _given(request.options).items()]
    return f"<{request.task}({', '.join(parts)})>"


def _line(what: str, captured: Any, expected: Any) -> str:
    captured, expected = (_NONE if value is None else repr(value) for value in (captured, expected))
    return f"{what}: captured was {captured}, expected {expected}"


def _given(options: JobOptions) -> dict[str, Any]:
    """Return the options that were given, less the queue, which the call itself tells, and what is not compared."""
    told = [one.name for one in fields(options) if one.init and one.compare and one.name != "queue"]
    found = {name: getattr(options, name) for name in told}
    return {name: value for name, value in found.items() if value is not None and value != ()}


def _normal(option: str, value: Any) -> Any:
    return duration_ms(value) if option in _DURATIONS and value is not None else value


def _equal(mine: Any, theirs: Any) -> bool:
    if type(mine) is type(theirs) and mine == theirs:
        return True
    from jobsd.secret_values import as_they_are  # noqa: PLC0415 - not needed where they are equal

    try:
        return as_they_are(mine) == as_they_are(theirs)
    except ValueError:  # what was expected has no JSON form; what was captured has
        return False
