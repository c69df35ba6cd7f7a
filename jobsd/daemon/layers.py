"""Values laid over one another: each key keeps the last word on it, and who had it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from jobsd.daemon.keys import Key, dotted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Table: TypeAlias = dict[str, object]


class Origin(NamedTuple):
    """The place that gave a value, and there the variable."""

    place: str
    variable: str = ""

    def __str__(self) -> str:
        return f"{self.place} {self.variable}".rstrip()


DEFAULT = Origin("default")

_SHORT = {"queues": "weight", "resources": "concurrency"}
"""What a bare number means: ``critical = 6``, ``stripe = 1``."""


class Variable(NamedTuple):
    """What a variable says, and which it is."""

    text: str
    origin: Origin


class Given(NamedTuple):
    """One value as one place gives it; ``value`` may be a whole table."""

    key: Key
    value: object
    origin: Origin


@dataclass
class Gathered:
    """All that was given, merged: ``tree`` is not yet validated, ``problems`` could not even be read."""

    tree: Table
    origins: dict[Key, Origin] = field(default_factory=dict[Key, Origin])
    problems: list[str] = field(default_factory=list[str])
    file: Path | None = None

    def origin(self, key: Key) -> Origin:
        """Return who had the last word on ``key``, on what holds it, or else on something in it."""
        above = (self.origins[key[:n]] for n in range(len(key), 0, -1) if key[:n] in self.origins)
        return next(above, next((origin for _, origin in self.below(key)), DEFAULT))

    def below(self, key: Key) -> Iterator[tuple[Key, Origin]]:
        """Yield what was given for ``key`` and its parts."""
        yield from ((known, origin) for known, origin in self.origins.items() if known[: len(key)] == key)

    def value(self, key: Key) -> object:
        found: Any = self.tree
        for name in key:
            found = found[name]
        return found

    def lay(self, given: Given) -> None:
        """Lay one value over what weaker places gave.

        Tables merge by key, with one exception: a whole table of queues names all that are served. Otherwise
        nobody could take a queue away. A single ``JOBSD_QUEUES__LOW__WEIGHT`` still changes only that one.
        """
        key, value = given.key, given.value
        if isinstance(value, dict):
            if key == ("queues",) or not (value or any(self.below(key))):
                self._replace(key, {}, given.origin)
            for name, part in cast("Table", value).items():
                self.lay(Given((*key, name), part, given.origin))
        elif len(key) == len(("queues", "low")) and key[0] in _SHORT:
            self.lay(Given((*key, _SHORT[key[0]]), value, given.origin))
        else:
            self._replace(key, value, given.origin)

    def _replace(self, key: Key, value: object, origin: Origin) -> None:
        table = self.tree
        for at, name in enumerate(key[:-1], start=1):
            inner = table.setdefault(name, {})
            if not isinstance(inner, dict):
                above = key[:at]
                self.problems.append(f"{origin}: {dotted(key)}: {dotted(above)} is no table ({self.origin(above)})")
                return
            table = cast("Table", inner)
        table[key[-1]] = value
        for known, _ in list(self.below(key)):
            del self.origins[known]
        self.origins[key] = origin
