"""arq's RedisSettings, or a pool made from them, as the address that the engine connects to."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from arq.connections import RedisSettings

from jobsd.errors import ConfigurationError

_TLS = (
    "ssl_keyfile",
    "ssl_certfile",
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_ca_data",
    "ssl_check_hostname",
)


_FLAGS = {"True": True, "False": False}


class SentinelError(ConfigurationError):
    def __init__(self) -> None:
        super().__init__("redis_settings: Sentinel is not supported; name the host of one Redis")


def url_of(settings: RedisSettings) -> str:
    """Return the address. Raises SentinelError."""
    if settings.sentinel or not isinstance(settings.host, str):
        raise SentinelError
    secret = ""
    if settings.password is not None:
        secret = f"{quote(settings.username or '', safe='')}:{quote(settings.password, safe='')}@"
    if settings.unix_socket_path is not None:
        return f"unix://{secret}{quote(settings.unix_socket_path)}?db={settings.database}"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{secret}{host}:{settings.port}/{settings.database}"
    if not settings.ssl:
        return f"redis://{address}"
    given = {name: getattr(settings, name) for name in _TLS}
    return f"rediss://{address}?{urlencode({name: value for name, value in given.items() if value is not None})}"


def settings_from(url: str) -> RedisSettings:
    """Return an address of jobsd's as arq's settings; arq's own reader leaves percent signs in passwords."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    path = unquote(parts.path)
    return RedisSettings(
        host=parts.hostname or "localhost",
        port=parts.port or 6379,
        unix_socket_path=path if parts.scheme == "unix" else None,
        database=int(query.get("db") or (path.lstrip("/") if parts.scheme != "unix" else "") or 0),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        ssl=parts.scheme == "rediss",
        **{name: _FLAGS.get(value, value) for name, value in query.items() if name in _TLS},  # pyright: ignore[reportArgumentType]
    )


def settings_of(pool: Any) -> RedisSettings:
    """Return the settings that ``pool``, an ArqRedis, was made from."""
    known: dict[str, Any] = pool.connection_pool.connection_kwargs
    secure = any(kind.__name__ == "SSLConnection" for kind in pool.connection_pool.connection_class.__mro__)
    tls = {name: known[name] for name in _TLS if secure and name in known}
    return RedisSettings(
        host=known.get("host", "localhost"),
        port=known.get("port", 6379),
        unix_socket_path=known.get("path"),
        database=int(known.get("db") or 0),
        username=known.get("username"),
        password=known.get("password"),
        ssl=secure,
        **tls,
    )
