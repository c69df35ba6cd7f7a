"""Ids of jobs and of workers. A job's are 26 characters that sort by the time they were made:

48 bits of epoch ms, then 80 random bits, in lower-case Crockford base32 (the layout of ULID). Ids of
one process rise strictly, so jobs that fall due in the same ms run in the order they were enqueued.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading

from jobsd.clock import now_ms

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_RANDOM_BITS = 80
INCARNATION_LENGTH = 12
OUTBOX_MARK = "o"


class IdSource:
    """Makes ids; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ms = 0
        self._tail = 0
        self._head_text = ""

    def reset(self) -> None:
        """Begin afresh: a forked child must not count on from its parent's last id."""
        self._lock = threading.Lock()
        self._ms = 0

    def next(self) -> str:
        with self._lock:
            ms = now_ms()
            if ms > self._ms:
                self._ms = ms
                # Not from `random`, which an application may seed; less a bit, so that counting up stays inside.
                self._tail = int.from_bytes(os.urandom(_RANDOM_BITS // 8)) >> 1
                self._head_text = _encode(ms, 5)
            else:  # the same ms, or the clock went back: rise all the same
                self._tail += 1
            return self._head_text + _encode(self._tail, 8)


def _encode(number: int, pairs: int) -> str:
    parts: list[str] = []
    for _ in range(pairs):
        number, low = divmod(number, 1024)
        parts.append(_PAIRS[low])
    parts.reverse()
    return "".join(parts)


_source = IdSource()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_source.reset)
new_id = _source.next


def incarnation_of(new: str) -> str:
    """Return what tells this use of an id from every other: the random end of an id that was made for it."""
    return new[-INCARNATION_LENGTH:]


def outbox_incarnation_of(new: str) -> str:
    """Return the same for a job of the outbox. By its first letter, which ids do not have, everybody knows such a job.

    >>> outbox_incarnation_of("01m825cytnddgwzycvgwh04vxx")
    'oycvgwh04vxx'
    """
    return OUTBOX_MARK + new[1 - INCARNATION_LENGTH :]


def worker_id() -> str:
    """Return a worker's name that a person can place and that no other process ever has."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:40]
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"
