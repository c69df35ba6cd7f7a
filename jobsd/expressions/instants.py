"""What is due without a calendar: every so often, and once. Instants are seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass

EARLIEST, LATEST = 0, 253_339_228_800
"""From 1970 on, and before 9998: outside there are instants which have no date in some zone."""


@dataclass(frozen=True, slots=True)
class Every:
    """Due at each whole multiple of ``interval`` behind ``anchor``, by real time; the anchor itself is none."""

    interval: int
    anchor: int

    def next(self, after: int) -> int | None:
        found = self.anchor + max(1, (after - self.anchor) // self.interval + 1) * self.interval
        return found if found < LATEST else None

    def previous(self, before: int) -> int | None:
        passed = -((self.anchor - before) // self.interval) - 1
        return self.anchor + passed * self.interval if passed >= 1 else None


@dataclass(frozen=True, slots=True)
class Once:
    """Due at one instant."""

    at: int

    def next(self, after: int) -> int | None:
        return self.at if self.at > after else None

    def previous(self, before: int) -> int | None:
        return self.at if self.at < before else None
