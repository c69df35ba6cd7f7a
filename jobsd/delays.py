"""How long a job waits after a failure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from jobsd.duration import duration_ms

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

Kind = Literal["exponential", "fixed", "linear"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """A delay curve; made by ``exponential``, ``fixed`` or ``linear``."""

    kind: Kind
    base_ms: int
    factor: float
    cap_ms: int
    jitter: bool

    def longest_ms(self, failures: int) -> int:
        """Return the delay after failure number ``failures`` (1 is the first), before jitter."""
        if self.kind == "fixed":
            return self.base_ms
        if self.kind == "linear":
            return min(self.base_ms * failures, self.cap_ms)
        try:
            return int(min(self.base_ms * self.factor ** (failures - 1), self.cap_ms))
        except OverflowError:  # far beyond every cap
            return self.cap_ms if self.base_ms else 0

    def delay_ms(self, failures: int) -> int:
        """Return the delay in ms, with full jitter: anywhere from 0 to the curve.

        Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        longest = self.longest_ms(failures)
        return random.randint(0, longest) if self.jitter else longest

    def to_wire(self) -> list[Any]:
        return [self.kind, self.base_ms, self.factor, self.cap_ms, self.jitter]

    @classmethod
    def from_wire(cls, wire: list[Any]) -> Backoff:
        return cls(*wire)


class CustomBackoff:
    """A delay curve of the user's own: a function from the failures so far (1 is the first) to a duration."""

    __slots__ = ("_curve",)

    def __init__(self, curve: Callable[[int], str | timedelta]) -> None:
        self._curve = curve

    def delay_ms(self, failures: int) -> int:
        """Return the delay in ms; the default curve's where the function fails: a job must not hang on it."""
        try:
            return duration_ms(self._curve(failures))
        except Exception:  # noqa: BLE001 - see above
            return DEFAULT.delay_ms(failures)


class Delay(Protocol):
    def delay_ms(self, failures: int, /) -> int: ...


def exponential(
    base: str | timedelta = "10s", *, factor: float = 4, cap: str | timedelta = "1h", jitter: bool = True
) -> Backoff:
    """Return ``base``, ``base x factor``, ``base x factor²`` … up to ``cap``.

    The defaults outlast an outage: 10 s, 40 s, 2m40s, 10m40s, 42m40s.
    """
    if not 1 <= factor < float("inf"):
        msg = f"factor is {factor}; it must be a number of 1 or more"
        raise ValueError(msg)
    return Backoff("exponential", duration_ms(base), factor, duration_ms(cap), jitter)


def fixed(delay: str | timedelta, *, jitter: bool = False) -> Backoff:
    """Return the same delay after every failure."""
    return Backoff("fixed", duration_ms(delay), 1, duration_ms(delay), jitter)


def linear(step: str | timedelta, *, cap: str | timedelta = "1h", jitter: bool = True) -> Backoff:
    """Return ``step``, ``2 x step``, ``3 x step`` … up to ``cap``."""
    return Backoff("linear", duration_ms(step), 1, duration_ms(cap), jitter)


DEFAULT = exponential()
