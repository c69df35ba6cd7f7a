"""What a call may say of limits, uniqueness and aggregation: checked before it is a job."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from jobsd.aggregation import LONGEST_MS, Aggregate
from jobsd.duration import duration_ms
from jobsd.errors import InvalidOptionError

if TYPE_CHECKING:
    from jobsd.job import JobOptions

ALONE = ("unique_for", "debounce", "throttle", "aggregate")
"""Of these a call has at most one."""
LIFETIME = 'a duration such as "30s" or "1h": more than 0, at most 366d'
NAME_ALLOWED = "1 to 128 of A-Z a-z 0-9 . _ : @ + -"
KEY_ALLOWED = "a text of 1 to 1,000 characters"

_NAME = re.compile(r"[A-Za-z0-9._:@+-]{1,128}")
_KEY = re.compile(r"[^\ud800-\udfff]{1,1000}")  # a half of a surrogate pair has no UTF-8 form
_MOST_RESOURCES = 16


def is_limit_name(name: object) -> bool:
    return isinstance(name, str) and bool(_NAME.fullmatch(name))


def resource_names(given: object) -> tuple[str, ...]:
    """Return the names of resources, each once. Raises InvalidOptionError."""
    if given is None:
        return ()
    several: object = [given] if isinstance(given, str) else given
    if not isinstance(several, list | tuple):
        raise InvalidOptionError(option="resources", given=given, allowed="a name, or a list of names")
    names = tuple(dict.fromkeys(_named("resources", name) for name in cast("list[object]", several)))
    if len(names) > _MOST_RESOURCES:
        raise InvalidOptionError(option="resources", given=names, allowed=f"at most {_MOST_RESOURCES} names")
    return names


def check_limits(options: JobOptions) -> None:
    """Raise InvalidOptionError for what is wrong in itself, or does not go together."""
    if options.limit_key is not None:
        _named("limit_key", options.limit_key)
    for name in ("unique_for", "debounce", "throttle"):
        _check_lifetime(name, getattr(options, name))
    if options.aggregate is not None and not isinstance(options.aggregate, Aggregate):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOptionError(option="aggregate", given=options.aggregate, allowed='aggregate("2s")')
    chosen = [name for name in ALONE if getattr(options, name) is not None]
    if len(chosen) > 1:
        given = getattr(options, chosen[1])
        allowed = f"only one of {', '.join(ALONE)}; {chosen[0]} is set as well"
        raise InvalidOptionError(option=chosen[1], given=given, allowed=allowed)
    if options.unique_key is not None:
        _check_key(options.unique_key, chosen)
    if chosen and chosen[0] in {"debounce", "aggregate"}:
        for name in ("delay", "at", "id"):
            if (given := getattr(options, name)) is not None:
                raise InvalidOptionError(option=name, given=given, allowed=f"nothing beside {chosen[0]}")


def _named(option: str, name: object) -> str:
    if not isinstance(name, str) or not is_limit_name(name):
        raise InvalidOptionError(option=option, given=name, allowed=NAME_ALLOWED)
    return name


def _check_lifetime(name: str, value: object) -> None:
    if value is None:
        return
    try:
        right = 0 < duration_ms(value) <= LONGEST_MS
    except ValueError:
        right = False
    if not right:
        raise InvalidOptionError(option=name, given=value, allowed=LIFETIME)


def _check_key(key: object, chosen: list[str]) -> None:
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise InvalidOptionError(option="unique_key", given=key, allowed=KEY_ALLOWED)
    if not chosen:
        allowed = f"a key only beside one of {', '.join(ALONE)}"
        raise InvalidOptionError(option="unique_key", given=key, allowed=allowed)
