"""Jobs and results as bytes: arq's two dictionaries, in JSON.

    payload  {"i": incarnation, "l": limits, "t": null, "f": task, "a": [args], "k": {kwargs}, "et": enqueued at, ms,
              "o": options, "h": headers, "x": where secrets are (secret_values.py)}
    result   {"i": …, "t": attempt, "f": …, "a": …, "k": …, "et": …, "s": success, "r": result or error,
              "st": started at, "ft": finished at, "q": queue, "id": job id}

``i``, ``l``, ``o``, ``h`` and ``x`` are ours, and arq passes over them; ``i`` comes first, and ``l`` (limits_text.py)
second if the job has limits, because the scripts look for them there. They append to ``a`` where it comes last.
An error in ``r`` is {"type": …, "message": …}. What a stock arq client wrote (a pickle, by default) is
read only by the arq worker, with the deserializer it was given.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from pydantic_core import PydanticSerializationError, from_json

from jobsd.errors import PayloadTooLargeError, UnserializableError
from jobsd.secret_values import as_they_are, encode_job, marks_of

if TYPE_CHECKING:
    from jobsd.store.jobs import Lease

PAYLOAD_START = b'{"i":'
PAYLOAD_LIMIT_BYTES = 1024 * 1024
_LAST_MS = 253_402_300_799_999  # the end of the year 9999


class Payload(NamedTuple):
    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    enqueued_at: int
    incarnation: str
    options: dict[str, Any]
    limits: str = ""
    headers: dict[str, Any] = {}  # noqa: RUF012 - nobody writes to it; ctx.headers cannot be written to
    secrets: tuple[str | int, ...] = ()
    """Fields that were secrets where they came from, and numbers of such arguments."""


class UndecodableError(ValueError):
    """The stored bytes are no payload."""


def encode_payload(
    *,
    incarnation: str,
    task: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    enqueued_at: int,
    options: dict[str, Any],
    limits: str = "",
    headers: dict[str, Any] | None = None,
    args_last: bool = False,
    limit_bytes: int = PAYLOAD_LIMIT_BYTES,
) -> bytes:
    """Return the payload. Raises UnserializableError or PayloadTooLargeError, each naming the argument."""
    job: dict[str, Any] = {"i": incarnation, "t": None, "f": task, "a": args, "k": kwargs, "et": enqueued_at}
    if limits:
        job = {"i": incarnation, "l": limits} | job
    if options:
        job["o"] = options
    if headers:
        job["h"] = headers
    if args_last:
        job["a"] = job.pop("a")
    try:
        payload = encode_job(job)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise unserializable(task, args, kwargs, error) from None
    if len(payload) > limit_bytes:
        name, size = max(_sizes(args, kwargs), key=lambda pair: pair[1], default=("none", 0))
        raise PayloadTooLargeError(
            task=task, size_bytes=len(payload), limit_bytes=limit_bytes, argument=name, argument_bytes=size
        )
    return payload


def incarnation_at_start(payload: bytes | None) -> str | None:
    """Return what a payload of ours begins with, also one that cannot be read.

    >>> incarnation_at_start(b'{"i":"0123456789ab","f":'), incarnation_at_start(b"{}")
    ('0123456789ab', None)
    """
    if payload is None or not payload.startswith(b'{"i":"') or payload[18:19] != b'"':
        return None
    return payload[6:18].decode(errors="replace")


def decode_payload(payload: bytes | None) -> Payload:
    """Return what ``payload`` says. Raises UndecodableError with the cause."""
    if payload is None:
        msg = "the payload is gone (it expired, or was deleted while the job waited)"
        raise UndecodableError(msg)
    if payload[:1] >= b"\x80":  # a pickle, or another binary form
        msg = "the payload cannot be read here: it is not JSON; the arq worker that has its deserializer can"
        raise UndecodableError(msg)
    try:
        return payload_of(_loads(payload))
    except Exception as error:
        msg = f"the payload cannot be read: {error!r}"
        raise UndecodableError(msg) from error


def payload_of(job: dict[str, Any]) -> Payload:
    """Return arq's job dictionary as a Payload. Raises ValueError, KeyError, TypeError or OverflowError."""
    task, args, kwargs, enqueued_at = job["f"], job["a"], job["k"], int(job["et"])
    options: Any = job.get("o") or {}
    headers: Any = job.get("h")
    if not isinstance(task, str) or not isinstance(args, list | tuple) or not isinstance(kwargs, dict):
        msg = "f, a and k must be a name, a list and an object"
        raise TypeError(msg)
    if not isinstance(options, dict):
        msg = "o must be an object"
        raise TypeError(msg)
    if not 0 <= enqueued_at <= _LAST_MS:
        msg = "et must be epoch ms"
        raise ValueError(msg)
    given = tuple(cast("list[Any]", args)), cast("dict[str, Any]", kwargs)
    incarnation, limits = str(job.get("i") or enqueued_at), str(job.get("l") or "")
    payload = Payload(task, *given, enqueued_at, incarnation, cast("dict[str, Any]", options), limits)
    # No job fails for what is wrong with its trace.
    if headers and isinstance(headers, dict):
        payload = payload._replace(headers=cast("dict[str, Any]", headers))
    return payload._replace(secrets=marks_of(job)) if "x" in job else payload


def _loads(text: bytes) -> Any:
    """Read JSON; what is nested too deeply for the quick reader is read by the patient one."""
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)


def _pieces(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any]]:
    return [*((f"{n + 1}", value) for n, value in enumerate(args)), *((repr(k), v) for k, v in kwargs.items())]


def _sizes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, int]]:
    return [(name, len(as_they_are(value))) for name, value in _pieces(args, kwargs)]


def unserializable(
    task: str, args: tuple[Any, ...], kwargs: dict[str, Any], cause: BaseException
) -> UnserializableError:
    """Return the error for arguments whose encoding raised ``cause``: it names the one that is to blame."""
    for name, value in _pieces(args, kwargs):
        try:
            as_they_are(value)
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            return UnserializableError(task=task, argument=name, type_name=type(value).__name__, cause=str(error))
    return UnserializableError(task=task, argument="(all)", type_name="call", cause=str(cause))


class Result(NamedTuple):
    success: bool
    value: Any
    message: str
    error_type: str | None
    attempt: int = 0
    finished_at: int | None = None
    started_at: int | None = None


def encode_result(
    payload: Payload,
    *,
    attempt: int,
    success: bool,
    value: Any,
    started_at: int,
    finished_at: int,
    queue: str,
    job_id: str,
) -> bytes:
    """Return the result. ``value`` is what the task returned, or {"type", "message"}. Raises ValueError."""
    return as_they_are(
        {
            "i": payload.incarnation,
            "t": attempt,
            "f": payload.task,
            "a": payload.args,
            "k": payload.kwargs,
            "et": payload.enqueued_at,
            "s": success,
            "r": value,
            "st": started_at,
            "ft": finished_at,
            "q": queue,
            "id": job_id,
        }
    )


def decode_result(stored: bytes) -> Result:
    """Return what a stored result says; one that an arq worker pickled is a failure to read, said as such."""
    try:
        found = _loads(stored)
        success, value = bool(found["s"]), found["r"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Result(success=False, value=None, message="its result is not JSON", error_type=None)
    message, error_type = "", None
    if not success and isinstance(value, dict):
        error: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        message, error_type = str(error.get("message")), error.get("type")
    elif not success:
        message = str(value)
    return Result(
        success=success,
        value=value if success else None,
        message=message,
        error_type=error_type,
        attempt=found.get("t") or 0,
        finished_at=found.get("ft"),
        started_at=found.get("st"),
    )


class Codec(Protocol):
    """How a worker reads payloads and writes results."""

    def decode(self, payload: bytes | None) -> Payload: ...
    def result(self, lease: Lease, payload: Payload, *, success: bool, value: Any, finished_at: int) -> bytes: ...


class JsonCodec:
    """JSON and nothing else: what jobsd.toml configures."""

    def decode(self, payload: bytes | None) -> Payload:
        return decode_payload(payload)

    def result(self, lease: Lease, payload: Payload, *, success: bool, value: Any, finished_at: int) -> bytes:
        return encode_result(
            payload,
            attempt=lease.attempt,
            success=success,
            value=value,
            started_at=lease.started_at,
            finished_at=finished_at,
            queue=lease.queue,
            job_id=lease.id,
        )
