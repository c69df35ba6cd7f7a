"""The schedules of the run ``schedules``, and what can be seen of them from outside."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from jobsd.admin.opening import open_schedules
from jobsd.errors import UnreachableError
from jobsd.records.schedules import PostgresSchedules
from jobsd.store.connection import AWAY
from jobsd.store.schedules import RedisSchedules
from tests.chaos.calls import BASE, asked, waiting
from tests.chaos.schedule_laws import Facts, Row, Span, read_lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from jobsd.expressions import Expression
    from jobsd.schedule.state import Past, Store
    from tests.chaos.daemons import Daemons
    from tests.chaos.ground import Ground

RUN_TIME = "run-time"
TABLES = """
CREATE SCHEMA witness;
CREATE TABLE witness.begun (schedule text, due bigint, key text);
CREATE TABLE witness.effects (schedule text, due bigint, key text);
"""
_LOOK_EVERY_S = 0.2
_SETTLES_WITHIN_S = 90.0
_HISTORY_EVERY_S = 5.0
_MOST_DUES = 1_000_000
_A_DAY_MS = 86_400_000
_LINES = 50  # Redis keeps so many of each
_EVERY_RUN_TIME = "3s"
_DECLARED = """
[cron.each-second]
task = "{task}"
at = "* * * * * *"
seconds = true
overlap = "allow"
end = {end}

[cron.skipping]
task = "{task}"
at = "*/2 * * * * *"
seconds = true
overlap = "skip"
args = {{slow_every_ms = 8000, slow_s = 3.0}}
end = {end}

[cron.queueing]
task = "{task}"
at = "*/5 * * * * *"
seconds = true
overlap = "queue"
args = {{slow_every_ms = 15000, slow_s = 7.0}}
end = {end}
"""
_ROWS = """
SELECT schedule, (extract(epoch FROM due_at) * 1000)::bigint AS due,
    (extract(epoch FROM last_due_at) * 1000)::bigint AS last, due_times, state, reason, coalesce(job_id, '') AS job_id
FROM jobsd.schedule_runs WHERE NOT manual
"""
_ENDINGS = """
SELECT job_id || '-' || incarnation AS key, outcome FROM jobsd.executions
WHERE transition IN ('completed', 'archived', 'removed')
"""


def declared(end: datetime, *, recorded: bool) -> str:
    """Return sections of the settings; nothing is due from ``end`` on."""
    return _DECLARED.format(task="book" if recorded else "only_tell", end=end.isoformat())


def overlaps(*, redis_only: bool) -> dict[str, str]:
    found = {"each-second": "allow", "skipping": "skip", "queueing": "queue"}
    return found if redis_only else found | {RUN_TIME: "allow"}


class Site:
    """Without a ``database_url`` schedules are kept in Redis; the little that it keeps of the past is read along."""

    def __init__(self, ground: Ground, daemons: Daemons, database_url: str | None, policies: Mapping[str, str]) -> None:
        self._ground = ground
        self._daemons = daemons
        self._database_url = database_url
        self._overlaps = policies
        self._store: Store = RedisSchedules(ground.redis) if database_url is None else PostgresSchedules(ground.pool)
        self._past: dict[tuple[str, int, str], Past] = {}

    async def add(self, name: str, end: datetime) -> None:
        """Add a run-time schedule, as a service would."""
        async with open_schedules(self._ground.redis_url, self._database_url) as schedules:
            await schedules.add(task="book", name=name, every=_EVERY_RUN_TIME, overlap="allow", end=end)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        if self._database_url is not None:
            yield
            return
        reading = asyncio.create_task(self._read())
        try:
            yield
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def settled(self, end: int) -> list[str]:
        """Wait until all is decided that was due before ``end``, epoch ms, and run; return what is stuck."""
        left = ["stuck: nobody could look"]
        over = None
        while left and (over is None or monotonic() < over):
            await asyncio.sleep(_LOOK_EVERY_S)
            with suppress(UnreachableError, *AWAY):
                left, now = await self._left(end)
                if over is None and now >= end:
                    over = monotonic() + _SETTLES_WITHIN_S
        return left

    async def facts(self, spans: Sequence[Span], end: int) -> Facts:
        entries = (await self._store.look(list(self._overlaps))).entries
        expressions = {name: entry.schedule.expression(entry.state.anchor) for name, entry in entries.items()}
        rows = await self._rows(expressions)
        effects = endings = None
        if self._database_url is not None:
            pool = self._ground.pool
            effects = [(row["schedule"], row["due"]) for row in await pool.fetch("SELECT * FROM witness.effects")]
            endings = [(row["key"], row["outcome"]) for row in await pool.fetch(_ENDINGS)]
        dues: dict[str, list[int]] = {}
        for name, expression in expressions.items():
            first = min((row.due for row in rows if row.schedule == name), default=end)
            dues[name] = expression.between(first - 1, end - 1, _MOST_DUES)
        return Facts(self._overlaps, dues, rows, read_lines(self._daemons.begun), spans, effects, endings)

    async def _rows(self, expressions: Mapping[str, Expression]) -> list[Row]:
        if self._database_url is not None:
            return [Row(**row) for row in await self._ground.pool.fetch(_ROWS)]
        await self._read_once()
        rows: list[Row] = []
        for past in self._past.values():
            # Of those that were passed over together only the first is told, and how many they were.
            last = expressions[past.name].between(past.due - 1, past.due + _A_DAY_MS, past.due_times)[-1]
            rows.append(Row(past.name, past.due, last, past.due_times, past.state, past.reason, past.job_id))
        return rows

    async def _read(self) -> None:
        while True:
            await self._read_once()
            await asyncio.sleep(_HISTORY_EVERY_S)

    async def _read_once(self) -> None:
        for name in self._overlaps:
            for past in await self._store.history(name, _LINES):
                self._past[name, past.due, past.job_id] = past

    async def _left(self, end: int) -> tuple[list[str], int]:
        redis, jobs, looked = self._ground.redis, await waiting(self._ground.redis), await self._store.look()
        outbox = 0
        if self._database_url is not None:
            outbox = await self._ground.pool.fetchval("SELECT count(*) FROM jobsd.outbox")
        counts: dict[str, Any] = {
            "schedules are not decided": sum(
                entry.schedule.expression(entry.state.anchor).between(entry.state.cursor, end - 1, 1) != []
                for entry in looked.entries.values()
            ),
            "due times wait": sum(len(entry.state.waiting) for entry in looked.entries.values()),
            "jobs wait or run": jobs.jobs,
            "records wait": jobs.records,
            "rows are in the outbox": outbox,
            "jobs are in the archive": await asked(lambda: redis.zcard(f"{BASE}:archived")),
            "jobs are in Redis": len(await asked(lambda: redis.keys("arq:job:*"))),
            "leases go on": len(await asked(lambda: redis.keys("arq:in-progress:*"))),
        }
        return [f"stuck: {count:,} {what}" for what, count in counts.items() if count], looked.now
