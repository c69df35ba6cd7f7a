"""Loads lua/*.lua, resolves their includes, and calls them by name."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from jobsd.store.line import Line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio import Redis

_LINES = 2  # a worker's claims and endings, a client's two calls under way; more callers share the pool
_INCLUDE = re.compile(r"^--@include (\w+)$", re.MULTILINE)


@cache
def source(name: str) -> str:
    """Return a script's text with its ``--@include`` lines replaced by lua/include/<name>.lua."""
    room = files("jobsd.store") / "lua"
    text = (room / f"{name}.lua").read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda found: (room / "include" / f"{found[1]}.lua").read_text(encoding="utf-8"), text)


class Scripts:
    """The scripts of one connection. ``variants`` replaces texts by name: tests move the clock that way."""

    def __init__(self, redis: Redis, variants: Mapping[str, str] | None = None) -> None:
        self._redis: Any = redis  # redis-py's types of execute_command are open
        self._variants = variants or {}
        self._shas: dict[str, str] = {}
        self._lines = [Line(redis) for _ in range(_LINES)]

    async def call(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run script ``name``. A script cache that was flushed is filled again in the same call."""
        sha = self._shas.get(name)
        if sha is None:
            sha = self._shas[name] = hashlib.sha1(self._text(name).encode(), usedforsecurity=False).hexdigest()
        run = next((line.call for line in self._lines if not line.busy), self._redis.execute_command)
        try:
            return await run("EVALSHA", sha, len(keys), *keys, *args)
        except NoScriptError:
            return await run("EVAL", self._text(name), len(keys), *keys, *args)

    def _text(self, name: str) -> str:
        return self._variants.get(name) or source(name)
