"""The records that wait in Redis for a recorder: how many, how much memory, how long, and how much is too much."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jobsd.size import parse_size

EVERY_NODE = 200_000
"""How many nodes of the stream are weighed, from its front; of more the rest counts as their average.

The server's own 5 are of little use: a stream that begins with small entries is told as a twentieth of what it is.
Weighing takes 1 ms for 100 MB of records, 12 ms for 500 MB, and so at the most about 20 ms.
"""

_SHARE = re.compile(r"(\d{1,3})\s?%")
_UNBOUNDED = 512 * 1024 * 1024  # instead of a share, where the server has no limit
_BEYOND = 0.25


@dataclass(frozen=True)
class Backlog:
    """What waits. ``entries`` are batches of endings, ``bytes`` the memory they take, both of them delivered or not.

    ``oldest_age_ms`` is how long the first of them has waited, None if there is none; ``maxmemory`` the server's limit
    in bytes, 0 for none.
    """

    entries: int
    bytes: int
    oldest_age_ms: int | None
    maxmemory: int


def percent_of(text: str) -> int | None:
    """Return the number of a share, None for an amount.

    >>> percent_of("25%"), percent_of("512MB")
    (25, None)
    """
    share = _SHARE.fullmatch(text.strip())
    return None if share is None else int(share[1])


def limit_of(text: str, maxmemory: int) -> int:
    """Return the bytes that records may take by the setting ``text``: a share of ``maxmemory``, or an amount.

    Where the server has no limit (0), any share is 512 MiB. Raises ValueError for what is neither.

    >>> limit_of("25%", 4_000_000_000), limit_of("25%", 0), limit_of("1GB", 4_000_000_000)
    (1000000000, 536870912, 1000000000)
    """
    percent = percent_of(text)
    if percent is None:
        return parse_size(text)
    return maxmemory * percent // 100 if maxmemory else _UNBOUNDED


def share_of(waiting: int, limit: int) -> float:
    """Return how much of what could be claimed is claimed while ``waiting`` bytes of records stand against ``limit``.

    All up to the limit; nothing from a quarter more on.

    >>> [share_of(waiting, 100) for waiting in (0, 100, 110, 125, 1000)]
    [1.0, 1.0, 0.6, 0.0, 0.0]
    """
    return min(1.0, max(0.0, ((1 + _BEYOND) * limit - waiting) / (_BEYOND * limit)))
