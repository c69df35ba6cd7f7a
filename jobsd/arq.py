"""JSON instead of pickle, for services that enqueue with arq's client.

    from jobsd.arq import job_deserializer, job_serializer

    pool = await create_pool(settings, job_serializer=job_serializer, job_deserializer=job_deserializer)

What it writes, every jobsd daemon reads; what jobsd writes, it reads. An exception travels as its type's name,
its message and, where they are plain, its arguments. Python's own, arq's and CancelledError come back as what
they were, so that ``Job.result()`` raises them and ``Job.abort()`` is answered; so do those that ``deserializer``
is given. No other class is looked up by a name that came over the wire.
"""

from __future__ import annotations

import asyncio
import builtins
import json
from typing import TYPE_CHECKING, Any, cast

from arq.jobs import DeserializationError, SerializationError
from arq.worker import JobExecutionFailed, Retry, RetryJob
from pydantic_core import from_json

from jobsd.secret_values import as_they_are, encode_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PLAIN = (str, int, float, bool, type(None))


def _by_name(*errors: type[BaseException]) -> dict[str, type[BaseException]]:
    return {error.__name__: error for error in errors}


_OF_PYTHON = [kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, Exception)]
_OF_ARQ = (JobExecutionFailed, Retry, RetryJob, SerializationError, DeserializationError)
_KNOWN = _by_name(*_OF_PYTHON, *_OF_ARQ, asyncio.CancelledError)


def job_serializer(job: dict[str, Any]) -> bytes:
    """Return arq's dictionary of a job or of a result as JSON. Raises ValueError for what has no JSON form."""
    if job.get("s") is False and isinstance(job["r"], BaseException):
        job = job | {"r": error_form(job["r"])}
    return as_they_are(job) if "r" in job else encode_job(job)


def deserializer(*errors: type[BaseException]) -> Callable[[bytes], dict[str, Any]]:
    """Return a deserializer that also revives ``errors``, known by the names of their classes."""
    known = _KNOWN | _by_name(*errors)

    def deserialize(text: bytes) -> dict[str, Any]:
        try:
            job: dict[str, Any] = from_json(text)
        except ValueError:  # nested too deeply for the quick reader, or with half of a surrogate pair
            job = json.loads(text)
        job["a"] = tuple(job["a"])
        if job.get("s") is False and isinstance(job["r"], dict):
            job["r"] = _revived(cast("dict[str, Any]", job["r"]), known)
        return job

    return deserialize


job_deserializer = deserializer()


def error_form(error: BaseException) -> dict[str, Any]:
    """Return how an exception travels."""
    try:
        message = str(error)
    except Exception as broken:  # noqa: BLE001 - an exception whose __str__ raises
        message = f"(no message: {type(broken).__name__})"
    form: dict[str, Any] = {"type": type(error).__name__, "message": message or type(error).__name__}
    if all(isinstance(arg, _PLAIN) for arg in error.args):
        form["args"] = error.args
    return form


def _revived(form: dict[str, Any], known: Mapping[str, type[BaseException]]) -> BaseException:
    name, message = form.get("type"), form.get("message")
    kind = known.get(str(name))
    if kind is None:
        return JobExecutionFailed(f"{name}: {message}" if name else str(message))
    try:
        return kind(*form.get("args", [message]))
    except Exception:  # noqa: BLE001 - a constructor that wants something else
        return JobExecutionFailed(f"{name}: {message}")
