"""Fields in a zone: the due times after and before an instant.

cronsim walks the calendar, on walls whose clock is never touched; what happens where it is put forward or back is
decided here. cronsim 2.8 can do that too, but it loses due times in Lord Howe (half an hour) and Chatham (at a quarter
to three), where it also looks backwards for ever, and with seconds it takes fixed times for intervals.

Expressions whose second, minute and hour all begin with a digit name *fixed times*. A fixed time that the clock leaps
over is due at the first instant behind the leap, and one that it shows twice is due the first time. All others are
*intervals*, due whenever the clock shows a time that fits: in an overlap twice, so that ``*/30`` goes on by real time,
and never while it leaps.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from jobsd.expressions.wall import EPOCH, SECOND, first_shown, latest_shown, piece_at

if TYPE_CHECKING:
    from datetime import tzinfo

    from cronsim import CronSim

    from jobsd.expressions.fields import Fields


class Cron:
    """The due times of ``fields`` where the clock is that of ``zone``. Instants are seconds since the epoch."""

    __slots__ = ("_sim", "_zone", "fields")

    def __init__(self, fields: Fields, zone: tzinfo) -> None:
        self.fields = fields
        self._zone = zone
        self._sim: CronSim | None = None

    def next(self, after: int) -> int | None:
        """Return the first due time behind ``after``; None if there is none within 50 years."""
        if self.fields.fixed:
            wall = self._walk(latest_shown(self._zone, after), 1)
            return None if wall is None else first_shown(self._zone, wall)
        piece = piece_at(self._zone, after + 1)
        behind = after + piece.offset
        wall = self._walk(behind, 1)
        while wall is not None and wall - piece.offset >= piece.end:
            piece = piece_at(self._zone, piece.end)
            shown = piece.start + piece.offset
            if not behind < shown <= wall:  # otherwise nothing fits between here and there
                behind = shown - 1
                wall = self._walk(behind, 1)
        return None if wall is None else wall - piece.offset

    def previous(self, before: int) -> int | None:
        """Return the last due time in front of ``before``; None if there is none within 50 years."""
        if self.fields.fixed:
            wall = self._walk(latest_shown(self._zone, before - 1) + 1, -1)
            return None if wall is None else first_shown(self._zone, wall)
        piece = piece_at(self._zone, before - 1)
        front = before + piece.offset
        wall = self._walk(front, -1)
        while wall is not None and wall - piece.offset < piece.start:
            piece = piece_at(self._zone, piece.start - 1)
            shown = piece.end - 1 + piece.offset
            if not wall <= shown < front:
                front = shown + 1
                wall = self._walk(front, -1)
        return None if wall is None else wall - piece.offset

    def _walk(self, wall: int, direction: int) -> int | None:
        """Return the next wall time that fits, behind ``wall`` or in front of it."""
        if self._sim is None:
            self._sim = self.fields.sim()
        walker = copy(self._sim)
        walker.dt = EPOCH + wall * SECOND
        walker.tick_direction = direction
        try:
            return (next(walker) - EPOCH) // SECOND
        except (StopIteration, OverflowError):
            return None
