"""A clock that a test moves: that of this process, and that of its scripts in Redis.

Every script of the process carries the distance in its text (moved.lua), so nothing has to be connected, and other
processes keep their time. Durations are measured by the monotonic clock, which does not move: a timeout takes as long
as ever.
"""

from __future__ import annotations

import contextlib
import secrets
from importlib.resources import files
from typing import TYPE_CHECKING

import jobsd.clock
from jobsd.clock import ms_from_datetime, now_ms, utc_from_ms
from jobsd.duration import duration_ms

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime, timedelta


class Clock:
    """Goes on by itself, from wherever it was moved to."""

    def __init__(self) -> None:
        self._key = f"jobsd:moved:{secrets.token_hex(6)}"

    @property
    def now(self) -> datetime:
        """The instant by this clock, in UTC."""
        return utc_from_ms(now_ms())

    def move(self, duration: str | timedelta) -> datetime:
        """Move on by ``duration`` ("2h", or a timedelta), and return the instant that it is then.

        Raises ValueError for what is no duration.
        """
        self._set(jobsd.clock.ahead_ms + duration_ms(duration))
        return self.now

    def move_to(self, at: datetime) -> datetime:
        """Move on to ``at``, a datetime with a time zone. Raises ValueError where that is in the past."""
        missing = ms_from_datetime(at) - now_ms()
        if missing < 0:
            msg = f"the clock cannot go back: it is {self.now.isoformat()}, after {at.isoformat()}"
            raise ValueError(msg)
        self._set(jobsd.clock.ahead_ms + missing)
        return self.now

    def _set(self, ahead_ms: int) -> None:
        from jobsd.store.scripts import stand_in  # noqa: PLC0415 - a test without Redis may have no use for it

        jobsd.clock.ahead_ms = ahead_ms
        text = (files("jobsd.testing") / "moved.lua").read_text(encoding="utf-8")
        stand_in("clock", text.replace("$AHEAD", str(ahead_ms)).replace("$KEY", self._key) if ahead_ms else None)

    def restore(self) -> None:
        """Be the real time again."""
        self._set(0)

    def __repr__(self) -> str:
        return f"<clock at {self.now.isoformat()}>"


_moved: list[Clock] = []


@contextlib.contextmanager
def movable_clock() -> Generator[Clock]:
    """A clock to move; at the end it is the real time again. Inside another one it is that one."""
    if _moved:
        yield _moved[0]
        return
    clock = Clock()
    _moved.append(clock)
    try:
        yield clock
    finally:
        _moved.clear()
        clock.restore()
