"""What is wrong with the settings, in sentences: the place, the key, what was given, what is allowed."""

from __future__ import annotations

import json
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, cast, get_args

from annotated_types import Ge, Le
from pydantic import SecretStr

from jobsd.addresses import HIDDEN, masked
from jobsd.daemon.keys import READ_ELSEWHERE, Key, dotted, field_at, names_in, nearest, variable
from jobsd.duration import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel, ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from jobsd.daemon.layers import Gathered

_TABLES = {"model_type", "dict_type"}
_KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "path_type": "a path",
    "list_type": 'a list such as ["tasks"]',
} | dict.fromkeys(_TABLES, "a table")


def problems_of(error: ValidationError, root: type[BaseModel], gathered: Gathered) -> Iterator[str]:
    """Yield a sentence for each thing that pydantic found wrong with ``root``."""
    for details in error.errors(include_url=False):
        # A place in a list says less than the value itself, and "[key]" is pydantic's word for a name.
        key = tuple(part for part in details["loc"] if isinstance(part, str) and part != "[key]")
        if details["type"] == "extra_forbidden":
            yield from _unknown(key, root, gathered)
        else:
            origin, field = gathered.origin(key), field_at(root, key)
            as_json = "; in a variable it is written as JSON" if origin.variable and details["type"] in _TABLES else ""
            yield f"{origin}: {dotted(key)}: {_wrong(details, field)}{as_json}"


def true_for_a_number(root: type[BaseModel], gathered: Gathered) -> Iterator[str]:
    """Yield a sentence for each ``concurrency = true``, which pydantic would read as 1."""
    for key, origin in gathered.origins.items():
        field = field_at(root, key)
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        if int in kinds and isinstance(value := gathered.value(key), bool):
            yield f"{origin}: {dotted(key)}: {shown(value)} is not a whole number{_range(field)}"


def _unknown(key: Key, root: type[BaseModel], gathered: Gathered) -> Iterator[str]:
    """Every variable below an unknown key is named; a file is named once."""
    for origin, below in {origin: below for below, origin in gathered.below(key)}.items():
        given = below if origin.variable else key
        near = nearest(given, root)
        if elsewhere := get_close_matches(origin.variable, READ_ELSEWHERE, n=1, cutoff=0.9):
            hint = f"did you mean {elsewhere[0]}?"
        elif near is None:
            hint = f"allowed here: {', '.join(names_in(root, given[:-1]) or names_in(root, ()))}"
        elif origin.variable:
            hint = f"did you mean {variable(near)}?"
        else:
            hint = f'did you mean "{near[-1] if near[:-1] == given[:-1] else dotted(near)}"?'
        yield f"{origin}: {dotted(given)}: unknown key; {hint}"


def _wrong(details: ErrorDetails, field: FieldInfo | None) -> str:
    kind, value = details["type"], details["input"]
    given = HIDDEN if _is_secret(field) else shown(value)
    if kind == "value_error":
        # A sentence of ours, except that whoever reads it writes TOML and not Python.
        return str(details.get("ctx", {})["error"]).replace(repr(value), given)
    if kind == "literal_error" and field:
        choices = [str(choice) for choice in get_args(field.annotation)]
        return f"{given} is not one of {', '.join(map(shown, choices))}{_did_you_mean(str(value), choices)}"
    if kind in {"greater_than_equal", "less_than_equal"}:
        return f"{given} is out of range{_range(field)}"
    if kind == "too_short":
        return "is empty; at least one is needed"
    if kind in _KINDS:
        return f"{given} is not {_KINDS[kind]}{_range(field)}"
    return f"{given} does not fit: {details['msg'].removeprefix('Input ')}"


def _is_secret(field: FieldInfo | None) -> bool:
    return bool(field) and any(SecretStr in (part, *get_args(part)) for part in get_args(field.annotation))


def _did_you_mean(given: str, choices: list[str]) -> str:
    by_lower = {choice.lower(): choice for choice in choices}
    near = get_close_matches(given.lower(), by_lower, n=1)
    return f"; did you mean {shown(by_lower[near[0]])}?" if near else ""


def _range(field: FieldInfo | None) -> str:
    limits = field.metadata if field else []
    low = next((limit.ge for limit in limits if isinstance(limit, Ge)), None)
    high = next((limit.le for limit in limits if isinstance(limit, Le)), None)
    match low, high:
        case None, None:
            return ""
        case _, None:
            return f"; allowed is {_limit(low)} or more"
        case None, _:
            return f"; allowed is up to {_limit(high)}"
        case _:
            return f"; allowed is {_limit(low)} to {_limit(high)}"


def _limit(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else shown(value)


def shown(value: object) -> str:
    """Return a value as a settings file has it, a password in it hidden."""
    match value:
        case str():
            return json.dumps(masked(value) if "://" in value else value, ensure_ascii=False)
        case bool():
            return str(value).lower()
        case list():
            return f"[{', '.join(shown(part) for part in cast('list[object]', value))}]"
        case dict():
            return f"{{{', '.join(f'{k} = {shown(v)}' for k, v in cast('dict[str, object]', value).items())}}}"
        case timedelta():
            return format_duration(value)
        case _:
            return str(value)
