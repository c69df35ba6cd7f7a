"""The stream that carries execution records from the scripts that end jobs to the recorders.

One entry is one batch of endings: a field per job. Entries are delivered to one recorder each, stay with it until
it settles them, and go to another when it falls silent; so a record may be read twice, and is never read not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from redis.exceptions import ResponseError

from jobsd.store.keys import DEFAULT_SHARD, records_key, shard_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from redis.asyncio import Redis

_GROUP = "recorders"
_CHUNK = 500  # ids a call; Lua unpacks no more than some thousands
_GONE = ("NOGROUP", "UNBLOCKED")  # the second is what Redis 7.0 says to a reader that was waiting

_MAKE = """
-- make: make the group, and the stream, where they are missing. The group begins with the oldest entry.
--
-- KEYS[1]  <shard>:records  stream
-- KEYS[2]  <shard>:nothing  never written: see room.lua. Entries that fill the server go by this group only.
-- ARGV[1]  group
-- Returns  nothing.
redis.call('DEL', KEYS[2])
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
return false
"""

_SETTLE = """
-- settle: take entries out of the group and the stream.
--
-- KEYS[1]  <shard>:records  stream
-- ARGV[1]  group
-- ARGV[2…] ids, at least one, at most 500
-- Returns  how many were still in the stream.
redis.call('XACK', KEYS[1], unpack(ARGV))
return redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
"""

_OLDEST = """
-- oldest: how long the oldest entry has been waiting.
--
-- KEYS[1]  <shard>:records  stream
-- Returns  its id and the server's time (s, µs), or nothing.
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not first then return false end
local time = redis.call('TIME')
return {first[1], time[1], time[2]}
"""

_FORGET = """
-- forget: remove consumers that are gone and hold nothing; with one that holds entries those would go too.
--
-- KEYS[1]  <shard>:records  stream
-- ARGV[1]  group
-- ARGV[2]  least idle time, ms
-- Returns  how many were removed.
local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
if consumers.err then return 0 end -- no stream, no group: nobody to forget
local removed = 0
for _, facts in ipairs(consumers) do
  local consumer = {}
  for i = 1, #facts, 2 do consumer[facts[i]] = facts[i + 1] end
  if consumer.pending == 0 and consumer.idle >= tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    removed = removed + 1
  end
end
return removed
"""


class Entry(NamedTuple):
    """``records`` are (job id, value) as the script wrote them; none: the entry was deleted meanwhile."""

    id: bytes
    records: list[tuple[bytes, bytes]]

    @property
    def added_at(self) -> int:
        """Epoch ms of the Redis server."""
        return _ms(self.id)


class RecordStream:
    """One consumer's view of a shard's stream.

    ``redis`` does not decode responses and belongs to this object alone, since ``read`` blocks its connection; a
    socket timeout must be longer than the longest block. A stream or group that is gone is made again by whoever
    misses it, which sees nothing that time.
    """

    def __init__(self, redis: Redis, consumer: str, *, shard: str = DEFAULT_SHARD) -> None:
        self._redis = redis
        self._consumer = consumer
        self._key = records_key(shard)
        self._nothing = f"{shard_key(shard)}:nothing"
        self._cursor = b"0-0"

    async def ensure_group(self) -> None:
        """Make stream and group where they are missing. The group begins with the oldest entry."""
        await self._call("EVAL", _MAKE, 2, self._key, self._nothing, _GROUP)

    async def read(self, count: int, block_ms: int) -> list[Entry]:
        """Return entries that no recorder has yet, waiting for the first; 0 does not wait."""
        block = ("BLOCK", block_ms) if block_ms else ()
        return await self._read(">", count, *block)

    async def unsettled(self, count: int) -> list[Entry]:
        """Return the oldest entries that were delivered to this consumer and are not settled."""
        return await self._read("0", count)

    async def take_over(self, min_idle_ms: int, count: int) -> list[Entry]:
        """Return entries that a recorder took ``min_idle_ms`` ago and has not settled; they are ours now."""
        answer = await self._unless_gone(
            self._call("XAUTOCLAIM", self._key, _GROUP, self._consumer, min_idle_ms, self._cursor, "COUNT", count)
        )
        if not answer:
            return []
        self._cursor = answer[0]  # behind those that live recorders hold; 0-0 after the last
        return _entries(answer[1])

    async def settle(self, ids: Sequence[bytes]) -> None:
        """Remove the entries, for good."""
        for start in range(0, len(ids), _CHUNK):
            await self._call("EVAL", _SETTLE, 1, self._key, _GROUP, *ids[start : start + _CHUNK])

    async def forget_consumers(self, min_idle_ms: int) -> int:
        """Remove consumers of processes that ended long ago; entries that they still hold keep them."""
        return await self._call("EVAL", _FORGET, 1, self._key, _GROUP, min_idle_ms)

    async def length(self) -> int:
        """Return the number of entries, delivered or not."""
        return await self._call("XLEN", self._key)

    async def oldest_age_ms(self) -> int | None:
        """Return how long the oldest entry has waited, or None if there is none."""
        answer = await self._call("EVAL", _OLDEST, 1, self._key)
        if not answer:
            return None
        entry_id, seconds, micros = answer
        return max(0, int(seconds) * 1000 + int(micros) // 1000 - _ms(entry_id))

    async def _read(self, position: str, count: int, *options: str | int) -> list[Entry]:
        answer = await self._unless_gone(
            self._call(
                "XREADGROUP", "GROUP", _GROUP, self._consumer, "COUNT", count, *options, "STREAMS", self._key, position
            )
        )
        return _entries(answer[0][1]) if answer else []

    async def _unless_gone(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except ResponseError as error:
            if not str(error).startswith(_GONE):
                raise
        await self.ensure_group()
        return None

    def _call(self, *command: str | bytes | int) -> Awaitable[Any]:
        return cast("Awaitable[Any]", self._redis.execute_command(*command))  # pyright: ignore[reportUnknownMemberType] - untyped in redis-py


def _entries(answer: list[tuple[bytes, dict[bytes, bytes] | None]]) -> list[Entry]:
    return [Entry(entry_id, list((fields or {}).items())) for entry_id, fields in answer]


def _ms(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])
