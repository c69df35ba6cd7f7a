"""The scripts that look at what a walk has named, and mend it: each of their findings is true at one moment.

What is wrong is said in one word a kind; jobsd/admin/troubles.py has the sentences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast

from jobsd.store.connection import REFUSED, is_away
from jobsd.store.keys import records_key, shard_key
from jobsd.store.outbox import Life

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from redis.asyncio import Redis

    from jobsd.store.census import Census
    from jobsd.store.scripts import Scripts

Verdict: TypeAlias = Literal["can", "mended", "recover", "left"]

_LOOKUPS = 4000  # about 5 ms
_MOST_JOBS = 100
_MOST_LANES = 50
_MOST_KEYS = 100
_MOST_PUSHED = 200


class Finding(NamedTuple):
    """``name`` is a job's id, a lane, a limit or a key. "can": be mended; "recover": by that script, in a while."""

    kind: str
    name: str
    base: str
    verdict: Verdict
    detail: str = ""


class Examination:
    """The shard's queues as a census has found them."""

    def __init__(self, redis: Redis, scripts: Scripts, shard: str, census: Census) -> None:
        self._redis: Any = redis  # redis-py types its answers as "awaitable or not"
        self._prefix = shard_key(shard)
        self._records = records_key(shard)
        self._scripts = scripts
        self._census = census
        wrong = {_text(key) for key, *_ in census.wrong}
        self._readable = [base for base in census.bases if not any(_is_of(base, key) for key in wrong)]
        # Of the jobs of a queue that cannot be read nothing is said, but that they are there.
        broken = [base for base in census.bases if base not in self._readable and not {base, f"{base}:active"} & wrong]
        self._strange = [*census.others, *broken]

    async def jobs(self, ids: Sequence[bytes], *, base: str = "", told: str = "", mend: bool) -> list[Finding]:
        """Look at jobs, of all of which the same was seen in ``base``; ``told`` is what examine.lua is told of that."""
        known = base in self._readable or not told.startswith("home:")
        bases = self._readable if known else [*self._readable, base]
        place = f"{bases.index(base) + 1}:{told}" if told and base in bases else ""
        reasons = self._census.reasons
        step = max(1, min(_MOST_JOBS, _LOOKUPS // ((len(bases) + 1) * (len(reasons) + 8))))
        keys = [self._prefix, *bases, *self._strange]
        head = ["1" if mend else "0", len(bases), place, len(reasons), *reasons]
        found: list[Finding] = []
        for start in range(0, len(ids), step):
            found += await self._examined(keys, head, ids[start : start + step], bases)
        return found

    async def _examined(
        self, keys: list[str], head: list[Any], ids: Sequence[bytes], bases: Sequence[str]
    ) -> list[Finding]:
        try:
            answer: list[Any] = await self._scripts.call("examine", keys, [*head, *ids])
        except REFUSED as error:
            if is_away(error) or len(ids) > 1:
                if is_away(error):
                    raise
                # One of them has a key that holds something else; nothing was mended before that was seen.
                halves = ids[: len(ids) // 2], ids[len(ids) // 2 :]
                return [found for half in halves for found in await self._examined(keys, head, half, bases)]
            return [Finding("unreadable_job", _text(ids[0]), "", "left", str(error))]
        found: list[Finding] = []
        for kind, name, q, verdict in _rows(answer, 4):
            found.append(Finding(_text(kind), _text(name), str(bases[q - 1]) if q else "", _verdict(verdict)))
        return found

    async def lanes(self, base: str, lanes: Sequence[tuple[bytes, bytes]], *, mend: bool) -> list[Finding]:
        """Look at lanes of a queue, each with the limit behind which it was seen."""
        found: list[Finding] = []
        if base not in self._readable:
            return found
        for start in range(0, len(lanes), _MOST_LANES):
            pairs = [part for lane in lanes[start : start + _MOST_LANES] for part in lane]
            answer: list[Any] = await self._scripts.call(
                "examine_lanes", [self._prefix, base], ["1" if mend else "0", *pairs]
            )
            found += [
                Finding(_text(kind), _text(lane), base, _verdict(verdict)) for kind, lane, verdict in _rows(answer, 3)
            ]
        return found

    async def held(self, *, mend: bool) -> list[Finding] | None:
        """Compare leases that are counted under limits with those there are; None where too many jobs run for that."""
        found: list[Finding] = []
        for base, kind in [*((base, "k") for base in self._readable), ("", "r")]:
            if not base and len(self._readable) < len(self._census.bases):
                continue  # a resource's leases may be in any queue
            keys = [self._prefix, *([base] if base else self._readable)]
            answer: list[Any] | None = await self._scripts.call("examine_held", keys, ["1" if mend else "0", kind])
            if answer is None:
                return None
            for limit, counted, leases, verdict in _rows(answer, 4):
                detail = f"{counted} counted, {leases} there"
                found.append(Finding("wrong_count", _text(limit), base, _verdict(verdict), detail))
        return found

    async def keys(self, keys: Sequence[tuple[str, bytes]], *, mend: bool) -> list[Finding]:
        """Look at keys with an owner or an end."""
        found: list[Finding] = []
        for start in range(0, len(keys), _MOST_KEYS):
            pairs = [part for key in keys[start : start + _MOST_KEYS] for part in key]
            answer: list[Any] = await self._scripts.call("examine_keys", [self._prefix], ["1" if mend else "0", *pairs])
            found += [
                Finding(_text(kind), _text(key), "", _verdict(verdict)) for kind, key, verdict in _rows(answer, 3)
            ]
        return found

    async def pushed(self, jobs: Sequence[tuple[str, str, str]], *, forget: bool) -> str:
        """Return examine_pushed.lua's letter for each (base, id, incarnation) of the outbox."""
        letters = ""
        for start in range(0, len(jobs), _MOST_PUSHED):
            part = jobs[start : start + _MOST_PUSHED]
            bases = sorted({base for base, *_ in part})
            args: list[Any] = ["1" if forget else "0"]
            for base, job_id, incarnation in part:
                args += bases.index(base) + 1, job_id, incarnation
            letters += (await self._scripts.call("examine_pushed", [self._prefix, *bases], args)).decode()
        return letters

    async def leases(self, findings: Sequence[Finding]) -> dict[tuple[str, str], float]:
        """Return when the leases of these jobs end, by base and id; of those that have one."""
        pipe = self._redis.pipeline(transaction=False)
        for finding in findings:
            pipe.zscore(f"{finding.base}:active", finding.name)
        ends: list[float | None] = await pipe.execute()
        return {
            (finding.base, finding.name): end for finding, end in zip(findings, ends, strict=True) if end is not None
        }

    async def remembered(self) -> AsyncIterator[tuple[list[tuple[str, str, int]], int]]:
        """Yield (id, incarnation, ms) of what is remembered as pushed, and the server's time; keys.py says which ms."""
        cursor = 0
        while True:
            cursor, members = await self._redis.zscan(f"{self._prefix}:outbox", cursor, count=500)
            seconds, _ = await self._redis.time()
            found: list[tuple[str, str, int]] = []
            for member, score in members:
                job_id, _, incarnation = _text(member).rpartition(" ")
                found.append((job_id, incarnation, int(score)))
            yield found, int(seconds) * 1000
            if not cursor:
                return

    async def life(self) -> str:
        """Return the name of this life of Redis, as rows of the outbox have it."""
        epoch: bytes | None = await self._redis.get(f"{self._prefix}:epoch")
        return Life((await self._redis.info("server"))["run_id"], (epoch or b"").decode(), 0).name

    async def has_outbox(self) -> bool:
        """Say whether jobs of an outbox were pushed to this Redis."""
        return await self._redis.exists(f"{self._prefix}:outbox") == 1

    async def has_records(self) -> bool:
        """Say whether anybody ever read records here."""
        return await self._redis.exists(self._records) == 1

    async def last_record(self) -> tuple[int, int] | None:
        """Return the id of the newest entry of records; None if there is none."""
        newest = await self._redis.xrevrange(self._records, count=1)
        return _entry(newest[0][0]) if newest else None

    async def is_settled(self, last: tuple[int, int] | None) -> bool:
        """Say whether a recorder has carried away all entries up to ``last``."""
        oldest = await self._redis.xrange(self._records, count=1)
        return last is None or not oldest or _entry(oldest[0][0]) > last

    async def list_queue(self, base: str) -> None:
        """Add a queue to those that were ever used: only of those are jobs taken back."""
        await self._redis.sadd(f"{self._prefix}:queues", base)


def _entry(name: bytes) -> tuple[int, int]:
    ms, _, number = name.decode().partition("-")
    return int(ms), int(number)


def _is_of(base: str, key: str) -> bool:
    return key == base or key.startswith(f"{base}:")


def _rows(answer: Sequence[Any], width: int) -> list[list[Any]]:
    return [list(answer[start : start + width]) for start in range(0, len(answer), width)]


def _verdict(word: bytes) -> Verdict:
    return cast("Verdict", word.decode())


def _text(name: bytes) -> str:
    return name.decode(errors="surrogateescape")
