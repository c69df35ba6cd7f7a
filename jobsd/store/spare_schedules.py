"""How far schedules come while Postgres, which keeps them, is away, and what becomes of their due times meanwhile.

It starts from what a daemon had seen last, and is carried to Postgres when that is back. The jobs have the ids and
incarnations that they would have had, so none is stored twice, whatever had come through the outbox before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json

from jobsd.schedule.state import Past, State
from jobsd.store.keys import DEFAULT_SHARD, shard_key
from jobsd.store.schedules import fire
from jobsd.store.scripts import Scripts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio import Redis

    from jobsd.schedule.state import Change


MOST_LINES = 50
"""Lines of one schedule that are carried at once."""


class Spare(NamedTuple):
    version: int
    state: State


class SpareSchedules:
    """The spares in one shard."""

    def __init__(self, redis: Redis, *, shard: str = DEFAULT_SHARD) -> None:
        self._redis: Any = redis
        self._shard = shard
        self._shard_key = shard_key(shard)
        self._entries = f"{self._shard_key}:spare"
        self._scripts = Scripts(redis)

    async def look(self, names: Sequence[str]) -> dict[str, Spare]:
        """Return the spares of these names, as far as this version can read them."""
        found = await self._redis.hmget(self._entries, *names)
        spares = {name: _spare(text) for name, text in zip(names, found, strict=True) if text is not None}
        return {name: spare for name, spare in spares.items() if spare is not None}

    async def apply(self, changes: Sequence[Change]) -> set[str]:
        """Write each change whose spare is in its version (0: there is none), with its jobs; return those names."""
        return await fire(self._scripts, self._shard, self._entries, changes, outbox=True)

    async def judges(self, daemon: str, *, reaches: bool) -> set[str]:
        """Note whether ``daemon``, "<fingerprint> <token>", reaches Postgres, and return all that do."""
        told = await self._scripts.call("judge", [self._shard_key], [daemon, int(reaches)])
        return {one.decode() for one in told}

    async def names(self) -> set[str]:
        """Return of which there is a spare, whoever can read it."""
        return {name.decode() for name in await self._redis.hkeys(self._entries)}

    async def lines(self, names: Sequence[str]) -> dict[str, list[bytes]]:
        """Return what became of their due times meanwhile, the earliest first; ``past_of`` reads it.

        Where there are more than MOST_LINES it is one more.
        """
        pipe = self._redis.pipeline(transaction=False)
        for name in names:
            pipe.lrange(f"{self._shard_key}:spared:{name}", -MOST_LINES - 1, -1)
        return {name: lines[::-1] for name, lines in zip(names, await pipe.execute(), strict=True)}

    async def forget(self, carried: Mapping[str, tuple[Spare, Sequence[bytes]]]) -> None:
        """Forget these lines. A spare that has come further since stays, and one of which there are lines still."""
        args: list[Any] = []
        for name, (spare, lines) in carried.items():
            args += name, spare.version, len(lines), *lines
        await self._scripts.call("forget_spares", [self._shard_key], args)


def past_of(line: bytes) -> Past:
    """Return it. Raises TypeError for what this version cannot read."""
    return Past.from_wire(from_json(line))


def _spare(text: bytes) -> Spare | None:
    """Return it; None: it is of a later version of jobsd, which can read it."""
    version, *_, state = text.decode().split("\n", 5)
    try:
        return Spare(int(version), State.from_wire(from_json(state)))
    except (ValueError, TypeError):
        return None
