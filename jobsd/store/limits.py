"""Limits as Redis holds them: one line of text for each queue and resource.

``<concurrency>:<count>:<window ms>:<key concurrency>:<key count>:<key window ms>|<process concurrency>|<hours>``, each
part '' where there is no such limit. The scripts read what stands before the first bar; the rest is for workers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from jobsd.rate import Rate

if TYPE_CHECKING:
    from collections.abc import Mapping

RESOURCE = "r="
"""What the name of a resource begins with, where it stands beside those of queues."""

_KEEP = "*"


@dataclass(frozen=True, slots=True)
class Limits:
    """What limits a queue, or a resource (its first two only). None and '' are no limit.

    ``concurrency`` and ``rate`` hold across all workers; ``key_concurrency`` and ``key_rate`` do for each limit key of
    the queue, ``process_concurrency`` for each worker; ``hours`` are those in which jobs start, with their zone.
    """

    concurrency: int | None = None
    rate: Rate | None = None
    key_concurrency: int | None = None
    key_rate: Rate | None = None
    process_concurrency: int | None = None
    hours: str = ""

    @classmethod
    def from_text(cls, text: str) -> Limits:
        """Return the limits that ``text`` holds. Raises ValueError.

        >>> Limits.from_text("2:5:10000:::||").rate
        Rate(count=5, window_ms=10000)
        """
        if not text:
            return cls()
        shared, process_concurrency, hours = text.split("|")
        concurrency, count, window, key_concurrency, key_count, key_window = shared.split(":")
        return cls(
            _number(concurrency),
            _rate(count, window),
            _number(key_concurrency),
            _rate(key_count, key_window),
            _number(process_concurrency),
            hours,
        )

    def to_text(self) -> str:
        """Return the text; '' where nothing is limited.

        >>> Limits(concurrency=2, hours="22:00-06:00 UTC").to_text()
        '2:::::||22:00-06:00 UTC'
        """
        return _text(_parts(self)) if self else ""

    def given(self) -> dict[str, int | Rate | str]:
        """Return what is limited, by its name."""
        return {name: value for name, value in _parts(self).items() if value is not None and value != ""}

    def __bool__(self) -> bool:
        return self != Limits()


def changes(given: Mapping[str, int | Rate | str | None]) -> str:
    """Return the text that sets the limits ``given``, None taking one away, and keeps all others.

    >>> changes({"rate": Rate.parse("5/10s"), "hours": None})
    '*:5:10000:*:*:*|*|'
    """
    return _text({name: given.get(name, _KEEP) for name in _parts(Limits())})


def _parts(limits: Limits) -> dict[str, int | Rate | str | None]:
    return {field.name: getattr(limits, field.name) for field in fields(limits)}


def _text(values: Mapping[str, int | Rate | str | None]) -> str:
    def rate(value: object) -> str:
        return f"{value.count}:{value.window_ms}" if isinstance(value, Rate) else ":" if value is None else "*:*"

    def plain(value: object) -> str:
        return "" if value is None else str(value)

    shared = (
        plain(values["concurrency"]),
        rate(values["rate"]),
        plain(values["key_concurrency"]),
        rate(values["key_rate"]),
    )
    return f"{':'.join(shared)}|{plain(values['process_concurrency'])}|{plain(values['hours'])}"


def _number(text: str) -> int | None:
    return int(text) if text else None


def _rate(count: str, window_ms: str) -> Rate | None:
    return Rate(int(count), int(window_ms)) if count else None
