"""The views ``job_executions`` and ``job_log``, for readers who need not know jobsd, in a schema of their choice.

A view of ours is known by the mark that ends its comment, which also says what it was made of. Whatever else has
one of these names is left as it is. The rest of the comment is what sql/<view>.sql says above its statement.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import asyncpg

from jobsd.errors import SettingsError
from jobsd.events import Event
from jobsd.logger import log
from jobsd.records.queries import query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobsd.records.pool import Connection, Pool

_MARK = re.compile(r"\(jobsd [0-9a-f]{12}\)\Z")


class View(NamedTuple):
    """What became of one view, ``name`` with its schema. One that was skipped has a cause, and perhaps a remedy."""

    name: str
    state: Literal["made", "replaced", "skipped"]
    cause: str | None = None
    remedy: str | None = None


class _Wanted(NamedTuple):
    name: str
    sql: str

    @property
    def comment(self) -> str:
        lines = [line.removeprefix("--").strip() for line in self.sql.splitlines() if line.startswith("--")]
        text = " ".join(filter(None, lines)).removeprefix(f"{self.name}: ")
        checksum = hashlib.sha256(" ".join(self.sql.split()).encode()).hexdigest()
        return f"{text[:1].upper()}{text[1:]} (jobsd {checksum[:12]})"


async def ensure_views(pool: Pool, schema: str) -> list[View]:
    """Make or replace what is not as it should be, and return that with what had to be skipped.

    Safe in any number of processes at once. Needs the ledger's schema. SettingsError: there is no such ``schema``.
    """
    wanted = _Wanted("job_executions", query("job_executions")), _Wanted("job_log", query("job_log"))
    views = [await _ensure(pool, schema, each) for each in wanted]
    return [view for view in views if view is not None]


async def provide_views(pool: Pool, schema: str) -> None:
    """Do the same for a daemon: what comes of it is logged, and nobody's reason to stop."""
    try:
        views = await ensure_views(pool, schema)
    except SettingsError as error:
        log.warning(Event.VIEW_SKIPPED, cause=str(error))
        return
    for view in views:
        if view.state == "skipped":
            log.warning(Event.VIEW_SKIPPED, view=view.name, cause=view.cause, remedy=view.remedy)
        else:
            log.info(Event.VIEW_MADE, view=view.name, state=view.state)


async def _ensure(pool: Pool, schema: str, wanted: _Wanted) -> View | None:
    async with pool.connection() as connection:
        place = await _place(connection, pool, schema, wanted)
    if _is_there(place, wanted):  # the daily case, without a lock
        return None
    try:
        try:
            return await _put(pool, schema, wanted)
        except asyncpg.InvalidTableDefinitionError:  # ours, with columns of another version
            return await _put(pool, schema, wanted, anew=True)
    except asyncpg.PostgresError as error:  # somebody reads it, builds on it, owns it
        return View(place["full_name"], "skipped", _in_words(error))


async def _put(pool: Pool, schema: str, wanted: _Wanted, *, anew: bool = False) -> View | None:
    async with pool.transaction() as connection:
        await connection.execute(query("give_up_on_locks"))
        await connection.execute(query("lock_schema"))
        place = await _place(connection, pool, schema, wanted)
        if _is_there(place, wanted):  # another process was faster
            return None
        if skipped := _hindered(place):
            return skipped
        if anew:
            await connection.execute(await connection.fetchval(query("view_drop"), schema, wanted.name))
        await connection.execute(query("view_path"), schema)
        await connection.execute(wanted.sql)
        comment = await connection.fetchval(query("view_comment"), schema, wanted.name, wanted.comment)
        await connection.execute(comment)
        return View(place["full_name"], "replaced" if place["kind"] else "made")


async def _place(connection: Connection, pool: Pool, schema: str, wanted: _Wanted) -> Mapping[str, Any]:
    for place in await connection.fetch(query("view_place"), schema, wanted.name):
        return place
    message = (
        f"records.views: the database at {pool.url} has no schema {schema!r}; "
        'create it, or set records.views to another one or to "none"'
    )
    raise SettingsError([message])


def _is_there(place: Mapping[str, Any], wanted: _Wanted) -> bool:
    return place["kind"] == "view" and place["comment"] == wanted.comment


def _in_words(error: asyncpg.PostgresError) -> str:
    """Return its message and detail, without the hint: that one says how to drop what others have built."""
    message, detail = str(error.args[0]), getattr(error, "detail", None)
    return f"{message}: {detail}" if detail else message


def _hindered(place: Mapping[str, Any]) -> View | None:
    name, kind = place["full_name"], place["kind"]
    if kind is not None and not (kind == "view" and _MARK.search(place["comment"] or "")):
        return View(
            name,
            "skipped",
            f"there is a {kind} of that name that jobsd did not make",
            "give it another name, or set records.views to another schema",
        )
    if place["needed"] is not None:
        return View(name, "skipped", "this role may not create anything in that schema", place["needed"])
    return None
