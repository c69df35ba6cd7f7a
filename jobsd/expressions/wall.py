"""What the clock on a zone's walls shows, and when it is put forward and back.

All times here are whole seconds: an *instant* since the epoch, a *wall* time as if the wall's clock had counted
seconds since 1970 without ever being touched. The zone's history is cut into pieces of one offset; no piece is longer
than a year.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import tzinfo

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - what a clock on the wall shows
SECOND = timedelta(seconds=1)
DAY_S = 86_400  # no offset is as long as this


class Piece(NamedTuple):
    """From ``start`` until before ``end`` the wall shows the instant plus ``offset``."""

    start: int
    end: int
    offset: int


def piece_at(zone: tzinfo, at: int) -> Piece:
    """Return the piece in which the instant lies."""
    starts, pieces = _year(zone, (EPOCH + at * SECOND).year)
    return pieces[bisect_right(starts, at) - 1]


def first_shown(zone: tzinfo, wall: int) -> int:
    """Return the instant at which the clock first shows ``wall`` or, where it leaps over it, what follows it."""
    piece = piece_at(zone, wall - DAY_S)  # whatever ended before this piece was over before any clock showed the time
    while wall - piece.offset >= piece.end:
        piece = piece_at(zone, piece.end)
    return max(wall - piece.offset, piece.start)


def latest_shown(zone: tzinfo, at: int) -> int:
    """Return the latest wall time that was shown until ``at``. In an overlap that is later than what it shows then."""
    piece = piece_at(zone, at)
    latest = at + piece.offset
    while at - piece.start < 2 * DAY_S:  # nothing older can have shown more than now: offsets are under a day
        piece = piece_at(zone, piece.start - 1)
        latest = max(latest, piece.end - 1 + piece.offset)
    return latest


@lru_cache(maxsize=4096)
def _year(zone: tzinfo, year: int) -> tuple[list[int], list[Piece]]:
    """Return the pieces of a year of UTC, and where they start."""
    first = (datetime(year, 1, 1) - EPOCH) // SECOND  # noqa: DTZ001 - arithmetic on walls
    behind = (datetime(year + 1, 1, 1) - EPOCH) // SECOND  # noqa: DTZ001
    pieces: list[Piece] = []
    start, offset = first, _offset(zone, first)
    for day in range(first + DAY_S, behind + 1, DAY_S):
        at = min(day, behind - 1)
        if (new := _offset(zone, at)) != offset:  # no zone changes its offset twice in a day
            before, after = at - DAY_S, at
            while after - before > 1:
                middle = (before + after) // 2
                before, after = (before, middle) if _offset(zone, middle) == new else (middle, after)
            pieces.append(Piece(start, after, offset))
            start, offset = after, new
    pieces.append(Piece(start, behind, offset))
    return [piece.start for piece in pieces], pieces


def _offset(zone: tzinfo, at: int) -> int:
    return ((EPOCH + at * SECOND).replace(tzinfo=UTC).astimezone(zone).utcoffset() or timedelta()) // SECOND
