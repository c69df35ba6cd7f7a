"""Addresses of servers as they may be shown: never with a password."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=://)([^/?#]*)@")
_QUERY_SECRET = re.compile(r"([?&](?:password|passwd|pwd|secret|token)=)[^&#]*", re.IGNORECASE)


def masked(url: str) -> str:
    """Return ``url`` with its password replaced by ``***``. Anything may be given; nothing is raised.

    >>> masked("redis://:secret@localhost:6379/0")
    'redis://:***@localhost:6379/0'
    """

    def hide(found: re.Match[str]) -> str:
        user, colon, _ = found[1].partition(":")
        return f"{user}:***@" if colon else f"{user}@"

    return _QUERY_SECRET.sub(r"\1***", _USERINFO.sub(hide, url))
