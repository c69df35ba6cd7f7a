"""The limits of a job as they travel: the text in its payload, and the rule by which it is stored.

    text  "k=<limit key>,r=<resource>,…,u=<digest>/<ms>,o=<digest>", whatever of it there is, in this order
    rule  "t=<digest>/<ms>", "d=<ms>", "a=<grace>/<longest delay>/<max size>/<items>/<payload limit>" or ""

A digest tells which calls are the same. It is made from the JSON of what makes them so, keys and sets in order.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic_core import from_json, to_json

from jobsd.duration import duration_ms
from jobsd.errors import InvalidArgumentsError
from jobsd.job import BoundRequest
from jobsd.secret_values import as_they_are

if TYPE_CHECKING:
    from jobsd.aggregation import Aggregate
    from jobsd.job import JobRequest

_DIGEST_BYTES = 12


class Limits(NamedTuple):
    text: str
    rule: str


def limits_of(request: JobRequest[Any], *, payload_limit_bytes: int) -> Limits:
    """Return the limits of a call.

    Raises InvalidArgumentsError for a call that cannot be aggregated, and whatever ``to_json`` raises for arguments
    that have no JSON form.
    """
    options = request.options
    parts = [] if options.limit_key is None else [f"k={options.limit_key}"]
    parts += [f"r={name}" for name in sorted(options.resources)]
    rule = ""
    if options.unique_for is not None:
        same = _call(request) if options.unique_key is None else [options.unique_key]
        parts.append(f"u={digest('unique', *same)}/{duration_ms(options.unique_for)}")
    elif options.throttle is not None:
        rule = f"t={_of_task('throttle', request)}/{duration_ms(options.throttle)}"
    elif options.debounce is not None:
        parts.append(f"o={_of_task('debounce', request)}")
        rule = f"d={duration_ms(options.debounce)}"
    elif options.aggregate is not None:
        parts.append(f"o={_of_task('aggregate', request)}")
        rule = _aggregation(options.aggregate, _items(request, options.aggregate), payload_limit_bytes)
    return Limits(",".join(parts), rule)


def digest(*same: Any) -> str:
    """Return 24 hex digits that are the same for the same values, in every process.

    >>> digest("email:send", {"to": "a", "cc": "b"}) == digest("email:send", {"cc": "b", "to": "a"})
    True
    """
    return blake2b(to_json(_ordered(same)), digest_size=_DIGEST_BYTES).hexdigest()


def _call(request: JobRequest[Any]) -> list[Any]:
    args, kwargs = request.bound if isinstance(request, BoundRequest) else (request.args, request.kwargs)
    return [request.task, args, kwargs]


def _of_task(kind: str, request: JobRequest[Any]) -> str:
    return digest(kind, request.task, request.options.unique_key)


def _items(request: JobRequest[Any], how: Aggregate) -> int:
    """Return how many items the call brings."""
    if len(request.args) != 1 or request.kwargs or not isinstance(request.args[0], list | tuple):
        raise InvalidArgumentsError(task=request.task, problem="a call that is aggregated has one argument, a list")
    items = len(cast("list[Any]", request.args[0]))
    if not 1 <= items <= how.max_size:
        problem = f"a call that is aggregated brings 1 to {how.max_size:,} items (max_size); this one has {items:,}"
        raise InvalidArgumentsError(task=request.task, problem=problem)
    return items


def _aggregation(how: Aggregate, items: int, payload_limit_bytes: int) -> str:
    return f"a={how.grace_ms}/{how.max_delay_ms}/{how.max_size}/{items}/{payload_limit_bytes}"


def _ordered(value: Any) -> Any:
    """Return the value with its keys and sets in order: a set has another order in every process."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case dict():
            found = cast("dict[Any, Any]", value)
            return {key: _ordered(found[key]) for key in sorted(found, key=str)}
        case list() | tuple():
            return [_ordered(one) for one in cast("list[Any]", value)]
        case set() | frozenset():
            return sorted(map(_ordered, cast("set[Any]", value)), key=to_json)
        case _:  # a datetime, a model
            return _ordered(from_json(as_they_are(value)))
