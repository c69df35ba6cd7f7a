"""Schedules in Postgres, where there is one: kept, judged, and fired through the outbox.

A change is one statement: the entry's new version, what came of its due times, and their jobs, or nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
from pydantic_core import from_json, to_json

from jobsd.clock import ms_from_datetime
from jobsd.errors import SchemaError
from jobsd.records.queries import query
from jobsd.schedule.definition import Schedule
from jobsd.schedule.names import incarnation_of
from jobsd.schedule.state import Beat, Entry, Looked, Past, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from jobsd.records.pool import Pool
    from jobsd.schedule.state import Change
    from jobsd.store.jobs import NewJob

_MOST = 1000
"""Entries, or changes, in one statement."""
_AT_ONCE = 200
"""Entries that are read before others have their turn in the event loop."""


class PostgresSchedules:
    """See Store. Raises UnreachableError, and SchemaError where the ledger's schema is an older one."""

    through_outbox = True

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def declare(
        self, schedules: Sequence[Schedule], fingerprint: str, *, at_start: bool, age_ms: int = 0
    ) -> None:
        for start in range(0, max(len(schedules), 1), _MOST):
            rows = [
                {"name": one.name, "src": one.source, "d": one.to_wire()} for one in schedules[start : start + _MOST]
            ]
            await self._fetch("schedules_declare", _json(rows), fingerprint, at_start, age_ms)

    async def beat(self, fingerprint: str, age_ms: int = 0) -> Beat:
        [row] = await self._fetch("schedules_beat", fingerprint, age_ms)
        return Beat(row["now"], row["entries"], row["others"] or "")

    async def look(self, names: Sequence[str] | None = None) -> Looked:
        rows = await self._fetch("schedules_look", None if names is None else list(names))
        entries: dict[str, Entry] = {}
        unread: dict[str, str] = {}
        for number, row in enumerate(rows, 1):
            if row["name"] is not None:
                try:
                    entries[row["name"]] = _entry(row)
                except (ValueError, TypeError) as error:
                    unread[row["name"]] = str(error)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return Looked(rows[0]["now"], entries, unread)

    async def standing(self) -> dict[str, str]:
        return {row["name"]: row["changed"] for row in await self._fetch("schedules_standing")}

    async def apply(self, changes: Sequence[Change]) -> set[str]:
        applied: set[str] = set()
        for start in range(0, len(changes), _MOST):
            rows = await self._fetch("schedules_apply", _json([_row(one) for one in changes[start : start + _MOST]]))
            applied |= {row["name"] for row in rows}
        return applied

    async def put(self, schedule: Schedule, *, version: int | None) -> bool:
        return bool(await self._fetch("schedules_put", schedule.name, _json(schedule.to_wire()), version))

    async def remove(self, name: str) -> bool:
        return bool(await self._fetch("schedules_remove", name))

    async def history(
        self, name: str | None, limit: int, *, since: int | None = None, passed: bool = False
    ) -> list[Past]:
        return [_past(row) for row in await self._fetch("schedules_history", name, limit, since, passed)]

    async def fired(self, dues: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        names, at = [name for name, _ in dues], [due for _, due in dues]
        return {(row["name"], row["due"]) for row in await self._fetch("schedules_fired", names, at)}

    async def _fetch(self, name: str, *args: object) -> Sequence[Mapping[str, Any]]:
        try:
            return await self._pool.fetch(_QUERIES[name], *args)
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError, asyncpg.InvalidSchemaNameError) as error:
            raise SchemaError(f"{error}; run `jobsd migrate`") from None


async def forget_schedules(pool: Pool, before: datetime) -> None:
    """Delete what was to be once and had its time before an instant, and what no daemon has declared for 30 days."""
    await pool.execute(query("forget_schedules"))
    before_ms, after = ms_from_datetime(before), ""
    while rows := await pool.fetch(query("schedules_once"), before_ms, after, _MOST):
        after = rows[-1]["name"]
        gone = [row for row in rows if _is_over(row, before_ms)]
        if gone:
            names, versions = [row["name"] for row in gone], [row["version"] for row in gone]
            await pool.execute(query("schedules_forget"), names, versions)


def _is_over(row: Mapping[str, Any], before_ms: int) -> bool:
    """Say whether its one due time was before; of what cannot be read that is not known."""
    try:
        schedule = Schedule.from_wire({**from_json(row["definition"]), "name": row["name"]}, row["source"])
        state = State.from_wire(from_json(row["state"]))
        due = schedule.expression(state.anchor).next(0)
    except (ValueError, TypeError):
        return False
    return due is not None and due < before_ms and not state.waiting


_QUERIES = {
    "schedules_apply": query("schedules_apply"),
    "schedules_beat": query("schedules_beat"),
    "schedules_declare": query("schedules_declare"),
    "schedules_fired": query("schedules_fired"),
    "schedules_history": query("schedules_history"),
    "schedules_look": query("schedules_look"),
    "schedules_put": query("schedules_put"),
    "schedules_remove": query("schedules_remove"),
    "schedules_standing": query("schedules_standing"),
}


def _json(value: object) -> str:
    return to_json(value).decode()


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(
        Schedule.from_wire({**from_json(row["definition"]), "name": row["name"]}, row["source"]),
        State.from_wire(from_json(row["state"])),
        row["version"],
        row["declared_by"],
        row["declared"],
        row["last_is_live"],
    )


def _row(change: Change) -> dict[str, Any]:
    runs: list[dict[str, Any]] = [
        {
            "due": one.due,
            "last": one.due,
            "n": 1,
            "m": one.manual,
            "st": "fired",
            "why": "",
            "id": one.job.id,
            "j": _job(one.job),
        }
        for one in change.fired
    ]
    runs += [
        {
            "due": one.due,
            "last": one.due if one.last is None else one.last,
            "n": one.due_times,
            "m": one.manual,
            "st": one.state,
            "why": one.reason,
            "id": one.job_id or None,
        }
        for one in change.carried
    ]
    runs += [
        {"due": one.first, "last": one.last, "n": one.due_times, "m": False, "st": "passed", "why": one.reason}
        for one in change.passed
    ]
    runs += [{"due": due, "last": due, "n": 1, "m": False, "st": "waiting", "why": ""} for due in change.waits]
    for run in runs:
        if run.get("id"):
            run["i"] = incarnation_of(run["id"], outbox=True)
    state = change.state.to_wire()
    return {"name": change.name, "v": change.version, "s": state, "tell": change.tell, "r": runs}


def _job(job: NewJob) -> dict[str, str]:
    payload = job.payload.decode()
    return {"id": job.id, "i": payload[6:18], "q": job.queue, "w": job.when, "p": payload}


def _past(row: Mapping[str, Any]) -> Past:
    return Past(
        row["name"],
        ms_from_datetime(row["due_at"]),
        row["state"],
        row["reason"],
        row["due_times"],
        row["job_id"] or "",
        row["manual"],
        ms_from_datetime(row["decided_at"]),
        _ms(row["started_at"]),
        _ms(row["finished_at"]),
        row["outcome"],
        row["attempts"] or 0,
        row["message"],
        ms_from_datetime(row["last_due_at"]),
        row["live"],
    )


def _ms(at: datetime | None) -> int | None:
    return None if at is None else ms_from_datetime(at)
