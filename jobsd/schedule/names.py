"""The names of what a due time becomes.

A job's id and incarnation follow from schedule and due time, so whoever makes it makes the same: what was stored once
is known again in Redis and in Postgres, however often it is fired.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

SCHEDULE, DUE, ZONE = "s", "sd", "sz"
"""Keys of a payload's options: the schedule's name, the due time that the job is of, epoch ms, its zone if not UTC."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 12
_OF_OUTBOX = "o"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def job_id_of(name: str, due_ms: int, manual: str = "") -> str:
    """Return the id; ``manual`` tells apart what was asked for by hand.

    >>> job_id_of("daily-cleanup", 1_764_036_000_000)
    'cron:daily-cleanup:2025-11-25T02:00:00Z'
    """
    at = _EPOCH + timedelta(milliseconds=due_ms)
    text = at.strftime("%Y-%m-%dT%H:%M:%S") + (f".{due_ms % 1000:03}" if due_ms % 1000 else "") + "Z"
    return f"cron:{name}:{text}{':' + manual if manual else ''}"


def incarnation_of(job_id: str, *, outbox: bool) -> str:
    """Return what tells this job from every other that may have its id (store/ids.py); it follows from the id here.

    >>> incarnation_of("cron:daily-cleanup:2025-11-25T02:00:00Z", outbox=True)
    'oeagqecjdph5'
    """
    number, digits = number_of(job_id), list[str]()
    for _ in range(_LENGTH):
        number, low = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[low])
    text = "".join(digits)
    return _OF_OUTBOX + text[1:] if outbox else text


def number_of(text: str) -> int:
    """Return a number that follows from the text, and looks like a random one."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])
