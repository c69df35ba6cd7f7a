"""What travels with a job beside its arguments: trace context, request id, and what else is carried.

``collect`` reads it where the job is enqueued, ``restore`` sets it where the job runs. Trace context is W3C's: of
OpenTelemetry, in a process that has loaded it, else of the variables here. Importing this costs next to nothing.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from jobsd.errors import HeadersTooLargeError, HookDefinitionError, UnserializableHeaderError

if TYPE_CHECKING:
    from collections.abc import Mapping

V = TypeVar("V")

LIMIT_BYTES = 8 * 1024
_LONGEST_TRACING = 4 * 1024  # baggage is anybody's: it must not keep a job from being stored
_TRACING = ("traceparent", "tracestate", "baggage")
_OF_THE_JOB = ("job_id", "task", "queue", "attempt", "trace_id", "daemon", "event", "level")
_PROPAGATE = "opentelemetry.propagate"
# https://www.w3.org/TR/trace-context/#traceparent-header, version 00; ids of zeros alone are none.
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_to_json = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode

request_id: ContextVar[str] = ContextVar("request_id")
traceparent: ContextVar[str] = ContextVar("traceparent")
tracestate: ContextVar[str] = ContextVar("tracestate")

_carried: dict[str, ContextVar[Any]] = {"request_id": request_id}
_missing: Any = object()


def carry(variable: ContextVar[V], *, name: str | None = None) -> ContextVar[V]:
    """Let the variable's value, where it has one, travel with every job; it is set again in the job.

    Its values must be JSON's. It travels under ``name`` (the variable's own), and replaces what was carried under that,
    which may be ``request_id``. Both sides must say so. Raises HookDefinitionError.
    """
    if not isinstance(variable, ContextVar):  # pyright: ignore[reportUnnecessaryIsInstance] - not all are typed
        raise HookDefinitionError(hook=f"carry({variable!r})", problem="it takes a contextvars.ContextVar")
    named = variable.name if name is None else name
    if named in _OF_THE_JOB:
        problem = "a job's log lines have a fact of this name already; carry it under another: carry(variable, name=…)"
        raise HookDefinitionError(hook=f"carry({named!r})", problem=problem)
    if not _NAME.fullmatch(named) or named in _TRACING:
        problem = f"a name has 1 to 64 of A-Z a-z 0-9 _ . -, and is none of {', '.join(_TRACING)}"
        raise HookDefinitionError(hook=f"carry({named!r})", problem=problem)
    _carried[named] = variable
    return variable


def collect(given: Mapping[str, Any] | None = None, *, task: str = "") -> dict[str, Any]:
    """Return the headers of a job that is enqueued here and now; what is ``given`` goes before what is carried.

    Raises UnserializableHeaderError or HeadersTooLargeError, each naming the header.
    """
    headers: dict[str, Any] = {}
    for name, variable in _carried.items():
        value = variable.get(_missing)
        if value is not _missing and value is not None:
            headers[name] = value
    if _PROPAGATE in sys.modules:
        headers.update(_injected())
    if "traceparent" not in headers and (parent := traceparent.get(None)) is not None and trace_id_of(parent):
        headers["traceparent"] = parent
        if state := tracestate.get(None):
            headers["tracestate"] = state
    if given:
        headers.update(given)
    if headers:
        _check(headers, task)
    return headers


def restore(headers: Mapping[str, Any]) -> None:
    """Set in this context what came with a job, so that its jobs carry on. It may be anything: it is off the wire."""
    for name, variable in _carried.items():
        if name in headers and (variable is not request_id or isinstance(headers[name], str)):
            variable.set(headers[name])
    parent, state = headers.get("traceparent"), headers.get("tracestate")
    if trace_id_of(parent) is not None:
        traceparent.set(str(parent))
        tracestate.set(state if isinstance(state, str) else "")
    if _PROPAGATE in sys.modules:
        _attach({name: text for name, text in headers.items() if isinstance(text, str)})


def facts() -> dict[str, Any]:
    """Return what log lines say of this context: what is carried, and the trace's id."""
    found = {name: value for name, variable in _carried.items() if (value := variable.get(None)) is not None}
    trace_id = trace_id_of(traceparent.get(None))
    return found if trace_id is None else found | {"trace_id": trace_id}


def trace_id_of(parent: object) -> str | None:
    """Return the trace's id of a ``traceparent``, or None if it is malformed.

    >>> trace_id_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    '0af7651916cd43dd8448eb211c80319c'
    """
    found = _TRACEPARENT.fullmatch(parent) if isinstance(parent, str) else None
    return None if found is None else found[1]


def _injected() -> dict[str, str]:
    found: dict[str, str] = {}
    with contextlib.suppress(Exception):  # tracing that fails keeps no job from being stored
        sys.modules[_PROPAGATE].inject(found)
    return {name: text for name, text in found.items() if len(text) <= _LONGEST_TRACING}


def _attach(headers: dict[str, str]) -> None:
    with contextlib.suppress(Exception):  # nor from being run
        from opentelemetry import context  # noqa: PLC0415 - it is loaded already

        # Never detached: the context is the job's own, and ends with it.
        context.attach(sys.modules[_PROPAGATE].extract(headers))


def _check(headers: dict[str, Any], task: str) -> None:
    sizes = {name: _size(name, name, task) + _size(name, value, task) for name, value in headers.items()}
    size = sum(sizes.values()) + 2 * len(sizes) + 1  # with colons, commas and braces
    if size > LIMIT_BYTES:
        largest = max(sizes, key=sizes.__getitem__)
        raise HeadersTooLargeError(
            task=task, size_bytes=size, limit_bytes=LIMIT_BYTES, header=largest, header_bytes=sizes[largest]
        )


def _size(name: str, value: Any, task: str) -> int:
    try:
        return len(_to_json(value).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise UnserializableHeaderError(
            task=task, header=name, type_name=type(value).__name__, cause=str(error)
        ) from None
