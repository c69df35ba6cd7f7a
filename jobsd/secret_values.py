"""Values that hold secrets as JSON: pydantic writes ten asterisks, which is no use to the job that needs one.

    encode_job   the arguments of a job, for the job; what was a secret in them is marked, for on the wire it is a text
    as_they_are  a result, for the caller who asks for it
    masked       for everybody else

Most values hold none, and cost one search for asterisks in what pydantic has made of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

from pydantic_core import SchemaSerializer, core_schema, to_json, to_jsonable_python

from jobsd.redaction import REDACTED

if TYPE_CHECKING:
    from collections.abc import Callable

    Name: TypeAlias = str | int
    OfSecret: TypeAlias = Callable[[Any, Name], Any]
    Fallback: TypeAlias = Callable[[Any], Any] | None

_ASTERISKS = b"****"  # pydantic writes ten, its manual's own kind of secret "****/**/**"
_ASTERISK = ord("*")  # one is looked for a hundred times as fast, and most values have none

_python = SchemaSerializer(core_schema.any_schema())


def encode_job(job: dict[str, Any]) -> bytes:
    """Return the JSON of a job with the arguments ``a`` and ``k``, secrets as they are.

    Before ``k`` there is then an ``x`` that tells where they are: names of fields, and numbers of arguments by
    position. Raises what ``to_json`` raises.
    """
    encoded = to_json(job)
    if not holds_secrets(encoded):
        return encoded
    marks: set[Name] = set()

    def reveal(secret: Any, name: Name) -> Any:
        marks.add(name)
        return _with(secret.get_secret_value(), reveal, name)

    real = {
        "a": [_with(value, reveal, n) for n, value in enumerate(job["a"])],
        "k": {name: _with(value, reveal, name) for name, value in job["k"].items()},
    }
    marked: dict[str, Any] = {}
    for key, value in job.items():
        if key == "k" and marks:
            marked["x"] = sorted(marks, key=str)
        marked[key] = real.get(key, value)
    return to_json(marked)


def marks_of(job: dict[str, Any]) -> tuple[str | int, ...]:
    """Return what a job that was read says of where its secrets are."""
    marks = job.get("x")
    given = cast("list[Any]", marks) if isinstance(marks, list) else []
    return tuple(mark for mark in given if type(mark) in {str, int})


def as_they_are(value: Any) -> bytes:
    """Return the JSON of the value with what its secrets hide. Raises what ``to_json`` raises."""
    encoded = to_json(value)
    return to_json(_with(value, _revealed)) if holds_secrets(encoded) else encoded


def masked(value: Any, fallback: Fallback = None) -> Any:
    """Return the value as JSON's types, its secrets as ``[redacted]``, and by ``fallback`` what has no JSON form.

    Raises what ``to_json`` raises.
    """
    return _with(value, lambda _secret, _name: REDACTED, fallback=fallback)


def holds_secrets(encoded: bytes) -> bool:
    """Tell whether there may be secrets in what ``to_json`` has made of a value."""
    return _ASTERISK in encoded and _ASTERISKS in encoded


def _revealed(secret: Any, _name: Name) -> Any:
    return _with(secret.get_secret_value(), _revealed)


def _with(value: Any, of_secret: OfSecret, name: Name = "", fallback: Fallback = None) -> Any:
    """Return the value's JSON, which pydantic knows how to make, with secrets put in where its Python form has some.

    ``of_secret`` is called with each and the name of the field that it is in; ``name`` is that of the value.
    """
    plain = to_jsonable_python(value, fallback=fallback)
    return _put(plain, _python.to_python(value, by_alias=True), of_secret, name, fallback)


def _put(plain: Any, found: Any, of_secret: OfSecret, name: Name, fallback: Fallback) -> Any:
    from jobsd.secret_places import SECRETS  # noqa: PLC0415 - a client that sends no secret need not load pydantic's

    if isinstance(found, SECRETS):
        return of_secret(found, name)
    if isinstance(plain, dict) and isinstance(found, dict):
        fields, values = cast("dict[str, Any]", plain), cast("dict[Any, Any]", found).values()
        if len(fields) == len(values):  # and in the same order: the keys alone may look otherwise
            pairs = zip(fields.items(), values, strict=True)
            return {key: _put(one, other, of_secret, key, fallback) for (key, one), other in pairs}
    if isinstance(plain, list):
        if isinstance(found, set | frozenset):  # another set of the same may have another order
            return [_with(one, of_secret, name, fallback) for one in cast("set[Any]", found)]
        ones = cast("list[Any]", plain)
        if isinstance(found, list | tuple) and len(ones) == len(cast("list[Any]", found)):
            both = zip(ones, cast("list[Any]", found), strict=True)
            return [_put(one, other, of_secret, name, fallback) for one, other in both]
    return cast("Any", plain)
