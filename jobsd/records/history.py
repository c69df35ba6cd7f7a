"""What happened, read back: executions page by page, statistics by task and hour, failures that are alike.

async with open_history() as history:
    page = await history.executions(task="email:send", outcome="failed")
    hours = await history.statistics(since=yesterday, step="hour")
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import asyncpg

from jobsd.clock import now_ms, utc_from_ms
from jobsd.errors import NotConfiguredError, SchemaError
from jobsd.execution import OutcomeName
from jobsd.records.pool import open_pool
from jobsd.records.queries import query
from jobsd.records.rows import ErrorGroup, Page, PastExecution, Place, Statistics, execution_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from jobsd.records.pool import Pool

Step: TypeAlias = Literal["hour", "day", "all"]

_WAYS = "set JOBSD_DATABASE_URL, or use open_history(url)"
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
_DAY, _MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
_CONDITIONS = "true /* conditions */"


@asynccontextmanager
async def open_history(url: str | None = None) -> AsyncGenerator[History]:
    """Open the ledger for reading; ``url`` is that of JOBSD_DATABASE_URL, or DATABASE_URL, unless given.

    Raises NotConfiguredError where none of them is; no server is asked yet.
    """
    url = url or os.environ.get("JOBSD_DATABASE_URL") or os.environ.get("DATABASE_URL")
    if not url:
        raise NotConfiguredError(what="Postgres", ways=_WAYS)
    pool = await open_pool(url)
    try:
        yield History(pool)
    finally:
        await pool.close()


class History:
    """Every method raises UnreachableError when Postgres does not answer within 10 s, SchemaError where the tables are
    not there or not for this role, and ValueError for what cannot be asked: an outcome that there is not, a text that
    is none, an instant without a zone.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def executions(
        self,
        *,
        job_id: str | None = None,
        task: str | None = None,
        queue: str | None = None,
        schedule: str | None = None,
        batch: str | None = None,
        outcome: OutcomeName | None = None,
        fingerprint: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: Place | None = None,
        limit: int = 50,
    ) -> Page:
        """Return the newest executions for which all that is given holds, at most ``limit`` (at least 1).

        They started at ``since`` or later and before ``until``. ``after`` is what the page before said is ``more``.
        """
        _check(limit, since, until)
        conditions: dict[str, object] = {
            "job_id = {}": job_id,
            "task = {}": task,
            "queue = {}": queue,
            "schedule_id = {}": schedule,
            "batch_id = {}": batch,
            _outcome_is(outcome): outcome,
            "fingerprint = {}": fingerprint,
            "started_at >= {}": since,
            "started_at < {}": until,
        }
        # One row more than asked for tells whether there is a page after this one.
        sql, values = _with_conditions(query("executions_page"), conditions, after, limit + 1)
        rows = await self._fetch(sql, *values)
        executions = [execution_of(row) for row in rows[:limit]]
        return Page(executions, _place(executions[-1]) if len(rows) > limit else None)

    async def statistics(
        self,
        *,
        since: datetime,
        until: datetime | None = None,
        task: str | None = None,
        queue: str | None = None,
        step: Step = "all",
    ) -> list[Statistics]:
        """Return what became of the attempts that started from ``since`` to ``until`` (now), by task and ``step``.

        It counts in whole hours, days are those of UTC; "all" is one row a task.
        """
        until = until or utc_from_ms(now_ms())
        _check(1, since, until)
        since, until = max(since, _FIRST), min(until, _LAST)
        if step not in get_args(Step):
            msg = f"{step!r} is no step; there are {', '.join(get_args(Step))}"
            raise ValueError(msg)
        if since >= until:
            return []
        since = _on(since, "hour")
        days_from, days_to = _on(since - _MICROSECOND, "day") + _DAY, _on(until, "day")
        if step == "hour" or days_from >= days_to:
            days_from = days_to = since
        rows = await self._fetch(query("statistics"), since, days_from, days_to, until, task, queue, step)
        return [Statistics(**row) for row in rows]

    async def errors(
        self, *, task: str | None = None, since: datetime | None = None, limit: int = 50
    ) -> list[ErrorGroup]:
        """Return failures folded by error type and place, those seen last first; with ``since``, seen then or later."""
        _check(limit, since)
        return [ErrorGroup(**row) for row in await self._fetch(query("errors_page"), task, since, limit)]

    async def _fetch(self, sql: str, *values: object) -> Sequence[Mapping[str, Any]]:
        try:
            return await self._pool.fetch(sql, *values)
        except asyncpg.DataError as error:
            raise ValueError(str(error)) from None
        except (
            asyncpg.UndefinedTableError,
            asyncpg.UndefinedColumnError,
            asyncpg.InsufficientPrivilegeError,
        ) as error:
            message = f"the ledger at {self._pool.url} is not of this version, or not for this role: {error}"
            raise SchemaError(message) from None


def _outcome_is(outcome: str | None) -> str:
    """Return the condition with the outcome in it: an index of what went wrong is used only where that is plain."""
    known = get_args(OutcomeName)
    if outcome is not None and outcome not in known:
        msg = f"{outcome!r} is no outcome; there are {', '.join(known)}"
        raise ValueError(msg)
    return f"outcome = '{outcome}'"


def _on(instant: datetime, step: Literal["hour", "day"]) -> datetime:
    """Return the beginning of its hour, or of its day of UTC."""
    hour = instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour if step == "hour" else hour.replace(hour=0)


def _check(limit: int, *instants: datetime | None) -> None:
    if limit < 1:
        msg = f"limit is {limit}; at least 1"
        raise ValueError(msg)
    for instant in instants:
        if instant is not None and instant.tzinfo is None:
            msg = f"{instant.isoformat()} has no zone; say datetime(…, tzinfo=UTC)"
            raise ValueError(msg)


def _with_conditions(
    sql: str, conditions: Mapping[str, object], after: Place | None, limit: int
) -> tuple[str, list[Any]]:
    values: list[Any] = [limit]
    parts: list[str] = []
    for condition, value in conditions.items():
        if value is None:
            continue
        if "{}" in condition:
            values.append(value)
        parts.append(condition.format(f"${len(values)}"))
    if after is not None:
        # The first half is what an index and the choice of partitions can use.
        parts.append(
            f"started_at <= ${len(values) + 1} AND (started_at, id) < (${len(values) + 1}, ${len(values) + 2})"
        )
        values += after
    return sql.replace(_CONDITIONS, " AND ".join(parts) or "true"), values


def _place(execution: PastExecution) -> Place:
    return Place(execution.started_at, execution.id)
