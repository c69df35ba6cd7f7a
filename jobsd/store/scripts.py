"""Loads lua/*.lua, resolves their includes, and calls them by name."""

from __future__ import annotations

import hashlib
import re
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from jobsd.store.line import Line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio import Redis

_LINES = 2  # a worker's claims and endings, a client's two calls under way; more callers share the pool
_INCLUDE = re.compile(r"^--@include (\w+)$", re.MULTILINE)
_stand_ins: dict[str, str] = {}


@cache
def source(name: str) -> str:
    """Return a script's text with its ``--@include`` lines replaced by lua/include/<name>.lua."""
    room = files("jobsd.store") / "lua"
    text = (room / f"{name}.lua").read_text(encoding="utf-8")
    return _INCLUDE.sub(
        lambda found: _stand_ins.get(found[1]) or (room / "include" / f"{found[1]}.lua").read_text(encoding="utf-8"),
        text,
    )


def stand_in(include: str, text: str | None) -> None:
    """Let ``text`` stand for lua/include/<include>.lua, in all scripts of the process; None: the file again.

    A test moves the clock that way.
    """
    if text is None:
        _stand_ins.pop(include, None)
    else:
        _stand_ins[include] = text
    source.cache_clear()


@lru_cache(maxsize=256)
def _sha(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Scripts:
    """The scripts of one connection. ``variants`` replaces texts by name: its tests change the scripts that way."""

    def __init__(self, redis: Redis, variants: Mapping[str, str] | None = None) -> None:
        self._redis: Any = redis  # redis-py's types of execute_command are open
        self._variants = variants or {}
        self._lines = [Line(redis) for _ in range(_LINES)]

    async def call(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run script ``name``. A script cache that was flushed is filled again in the same call."""
        text = self._variants.get(name) or source(name)
        sha = _sha(text)
        run = next((line.call for line in self._lines if not line.busy), self._redis.execute_command)
        try:
            return await run("EVALSHA", sha, len(keys), *keys, *args)
        except NoScriptError:
            return await run("EVAL", text, len(keys), *keys, *args)
