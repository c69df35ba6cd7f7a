"""Holidays, for tests that name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

NUMBER = 5


def is_christmas(at: datetime) -> bool:
    return (at.month, at.day) == (12, 25)


def is_closed() -> bool:
    return True


def in_zone(at: datetime, zone: str) -> bool:
    return at.day == 1 and zone == "UTC"


async def is_slow(at: datetime) -> bool:
    return at.day == 1
