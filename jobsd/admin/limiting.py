"""Limits as people say them: in the words of the settings, with "none" for what is to have no limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.errors import InvalidOptionError
from jobsd.hours import ALLOWED as HOURS
from jobsd.hours import Hours
from jobsd.rate import ALLOWED as RATE
from jobsd.rate import Rate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobsd.store.limits import Limits

NONE = "none"
_MOST = 10_000
_COUNT = f"a whole number, 1 to {_MOST:,}"

_OF_A_QUEUE = {
    "concurrency": "process_concurrency",
    "global_concurrency": "concurrency",
    "rate": "rate",
    "per_key_concurrency": "key_concurrency",
    "per_key_rate": "key_rate",
    "hours": "hours",
}
_OF_A_RESOURCE = {"concurrency": "concurrency", "rate": "rate"}


def told(limits: Limits, *, resource: bool = False) -> dict[str, int | str]:
    """Return what is limited, by the names that it has in the settings.

    >>> from jobsd.store.limits import Limits
    >>> told(Limits(concurrency=4, rate=Rate.parse("5/10s")))
    {'global_concurrency': 4, 'rate': '5/10s'}
    """
    given = limits.given()
    found = {name: given[field] for name, field in _names(resource=resource).items() if field in given}
    return {name: str(value) if isinstance(value, Rate) else value for name, value in found.items()}


def understood(
    given: Mapping[str, str], *, resource: bool = False, zone: str = "UTC"
) -> dict[str, int | Rate | str | None]:
    """Return what was said of each limit as the store knows it. Raises InvalidOptionError."""
    names, found = _names(resource=resource), dict[str, int | Rate | str | None]()
    for name, text in given.items():
        if name not in names:
            raise InvalidOptionError(option=name, given=text, allowed="only concurrency and rate of a resource")
        try:
            found[names[name]] = None if text.lower() == NONE else _read(name, text, zone)
        except ValueError as error:
            allowed = HOURS if name == "hours" else RATE if name.endswith("rate") else _COUNT
            raise InvalidOptionError(option=name, given=text, allowed=f"{allowed}, or {NONE}") from error
    return found


def _names(*, resource: bool) -> Mapping[str, str]:
    return _OF_A_RESOURCE if resource else _OF_A_QUEUE


def _read(name: str, text: str, zone: str) -> int | Rate | str:
    if name.endswith("rate"):
        return Rate.parse(text)
    if name == "hours":
        return str(Hours.parse(text, zone))
    count = int(text)
    if not 1 <= count <= _MOST:
        raise ValueError(text)
    return count
