"""Addresses of servers as they may be shown: never with a password."""

from __future__ import annotations

import re

HIDDEN = "***"
_SECRET_PARAMETER = re.compile(r"([?&;][^=&;]*(?:pass|secret|token)[^=&;]*=)[^&]*", re.IGNORECASE)
_SERVERS = re.compile(r"([^:,\[\]]+|\[[^\]]*\])?(:\d*)?(,([^:,\[\]]+|\[[^\]]*\])(:\d*)?)*")


def masked(url: str) -> str:
    """Return ``url`` with every password in it replaced by ``***``; never raises.

    What is no proper address is hidden rather than shown: too much before too little.

    >>> masked("redis://:secret@cache:6379/0")
    'redis://:***@cache:6379/0'
    >>> masked("postgresql://app@db/shop?password=secret&sslmode=require")
    'postgresql://app@db/shop?password=***&sslmode=require'
    >>> masked("redis://:a/b#c@cache")
    'redis://:***@cache'
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return HIDDEN if url else ""
    end = next((at for at, letter in enumerate(rest) if letter in "/?#"), len(rest))
    authority, tail = rest[:end], _SECRET_PARAMETER.sub(rf"\1{HIDDEN}", rest[end:])
    if "@" in tail:
        # A password with a bare "/", "?" or "#" in it ends the authority too early.
        authority, tail = rest[: rest.rindex("@")], ""
        servers = _SECRET_PARAMETER.sub(rf"\1{HIDDEN}", rest[rest.rindex("@") + 1 :])
        return f"{scheme}://{_user(scheme, authority)}@{servers}"
    user, at, servers = authority.rpartition("@")
    if not _SERVERS.fullmatch(servers) or servers.startswith(":"):
        servers = f"{servers.partition(':')[0]}:{HIDDEN}"
    return f"{scheme}://{_user(scheme, user) if at else ''}{at}{servers}{tail}"


def _user(scheme: str, userinfo: str) -> str:
    user, colon, _ = userinfo.partition(":")
    if colon:
        return f"{user}:{HIDDEN}"
    # redis://secret@host is mostly a forgotten colon; in Postgres a user without a password is usual.
    return user if scheme.startswith("postgres") else HIDDEN
