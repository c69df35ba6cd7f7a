"""Addresses of servers: which are accepted, whole or in the parts that REDIS_HOST and its kin name."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from jobsd.addresses import masked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REDIS_ALLOWED = (
    'an address such as "redis://host:6379/0", "rediss://user:password@host:6380/0" or "unix:///run/valkey.sock"'
)
POSTGRES_ALLOWED = 'an address such as "postgresql://user:password@host:5432/name"'

_PORTS = 65_536
_UNDECODED = re.compile(r"[\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def check_redis(url: str) -> str:
    """Return ``url`` if it can be an address of Redis or Valkey. Raises ValueError with what is allowed."""
    parts = _split(url, REDIS_ALLOWED)
    match parts.scheme:
        case "redis" | "rediss":
            fits = bool(parts.hostname) and re.fullmatch(r"(/\d*)?", parts.path)
        case "unix":
            fits = len(parts.path) > 1
        case _:
            fits = False
    if not fits:
        raise ValueError(_refusal(url, REDIS_ALLOWED))
    return url


def check_postgres(url: str) -> str:
    """Return ``url`` as asyncpg takes it, without SQLAlchemy's ``+driver``. Raises ValueError with what is allowed."""
    scheme, separator, rest = url.partition("://")
    plain = scheme.partition("+")[0] + separator + rest
    parts = _split(plain, POSTGRES_ALLOWED)
    if parts.scheme not in {"postgresql", "postgres"} or not rest or "@" in parts.path:
        raise ValueError(_refusal(url, POSTGRES_ALLOWED))
    return plain


def _split(url: str, allowed: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if "," not in parts.netloc:
            _ = parts.port  # raises for what is no port
    except ValueError:
        raise ValueError(_refusal(url, allowed)) from None
    if parts.fragment:
        raise ValueError(_refusal(url, allowed))
    return parts


def _refusal(url: str, allowed: str) -> str:
    hint = "; inside a password write / as %2F, # as %23, ? as %3F and @ as %40" if "@" in url else ""
    return f'"{masked(url)}" is not {allowed}{hint}'


def wrong_parts(names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each of the names that cannot be part of an address, with what is wrong."""
    host = names["REDIS_HOST"]
    if not _is_host(host):
        given = masked(host) if "@" in host else host
        yield "REDIS_HOST", f'"{given}" is not the name of a host; JOBSD_REDIS_URL takes a whole address'
    port = names.get("REDIS_PORT", "6379")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < _PORTS:
        # Kubernetes sets REDIS_PORT=tcp://10.0.0.1:6379 beside a service that is called redis.
        yield "REDIS_PORT", f'"{port}" is not a port; allowed is 1 to 65535'
    if _UNDECODED.search(names.get("REDIS_PASSWORD", "")):
        yield "REDIS_PASSWORD", "is not UTF-8 text"
    database = names.get("REDIS_DB", "0")
    if not re.fullmatch(r"[0-9]{1,5}", database):
        yield "REDIS_DB", f'"{database}" is not the number of a database; allowed is 0 or more'


def _is_host(text: str) -> bool:
    if _NAME.fullmatch(text):
        return True
    try:
        return bool(IPv6Address(text))
    except ValueError:
        return False
