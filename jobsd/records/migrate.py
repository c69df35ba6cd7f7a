"""The schema: numbered SQL, forward only, one transaction each, one process at a time."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, TypeAlias

import asyncpg

from jobsd.errors import SchemaError
from jobsd.events import Event
from jobsd.logger import log
from jobsd.records.queries import query

if TYPE_CHECKING:
    from jobsd.records.pool import Connection, Pool

MigrateMode: TypeAlias = Literal["auto", "manual"]

# A migration may rewrite a large table, or wait for the process that does.
_TIMEOUT_S = 3600.0
_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: str

    def __str__(self) -> str:
        return f"{self.version:04}_{self.name}"

    @property
    def checksum(self) -> str:
        """Of the words, not the white space: a formatter does not make another migration."""
        return hashlib.sha256(" ".join(self.sql.split()).encode()).hexdigest()


@cache
def known() -> tuple[Migration, ...]:
    """Return the migrations of this version of jobsd, oldest first."""
    found = (entry for entry in files("jobsd.records").joinpath("migrations").iterdir() if entry.name.endswith(".sql"))
    return tuple(
        Migration(int(number), name, entry.read_text("utf-8"))
        for entry in sorted(found, key=lambda entry: entry.name)
        for number, _, name in [entry.name.removesuffix(".sql").partition("_")]
    )


async def pending(pool: Pool) -> list[Migration]:
    """Return what ``migrate`` would apply. SchemaError: the schema is newer than this jobsd, or not its own."""
    try:
        async with pool.connection() as connection:
            return await _pending(connection)
    except asyncpg.InsufficientPrivilegeError as error:
        raise await _without_rights(pool, error) from None


async def migrate(pool: Pool) -> list[Migration]:
    """Apply what is pending, and return it. Safe in any number of processes at once."""
    applied: list[Migration] = []
    waits = False
    while True:
        try:
            migration = await _apply_next(pool)
        except asyncpg.LockNotAvailableError:
            # Whoever waits for a table makes all others wait behind it, so we come again instead.
            if not waits:
                log.warning(Event.MIGRATION_WAITING, cause="somebody is reading what it is to change; trying again")
            waits = True
            await asyncio.sleep(_AGAIN_S)
            continue
        except asyncpg.InsufficientPrivilegeError as error:
            raise await _without_rights(pool, error) from None
        if migration is None:
            return applied
        log.info(Event.MIGRATION_APPLIED, migration=str(migration))
        applied.append(migration)


async def ensure_schema(pool: Pool, mode: MigrateMode) -> None:
    """Bring the schema up to date, or with ``manual`` raise SchemaError, naming the command, where it is not."""
    if mode == "auto":
        await migrate(pool)
    elif missing := await pending(pool):
        names = ", ".join(map(str, missing))
        message = f"the ledger's schema at {pool.url} lacks {names}; run `jobsd migrate`"
        raise SchemaError(message)


async def _without_rights(pool: Pool, error: Exception) -> SchemaError:
    remedy = await pool.fetchval(query("rights"))
    return SchemaError(f"{error}; {remedy}")


async def _apply_next(pool: Pool) -> Migration | None:
    if not await pending(pool):  # the daily case, without a lock
        return None
    async with pool.transaction() as connection:
        await connection.execute(query("lock_schema"), timeout=_TIMEOUT_S)
        if not await connection.fetchval(query("migrations_exist")):
            await connection.execute(query("create_schema"))
            await connection.execute(query("create_migrations"))
        if not (left := await _pending(connection)):
            return None
        migration = left[0]
        await connection.execute(query("give_up_on_locks"))
        await connection.execute(migration.sql, timeout=_TIMEOUT_S)
        await connection.execute(query("note_migration"), migration.version, migration.name, migration.checksum)
        return migration


async def _pending(connection: Connection) -> list[Migration]:
    if not await connection.fetchval(query("migrations_exist")):
        return list(known())
    ours = {migration.version: migration for migration in known()}
    for row in await connection.fetch(query("applied_migrations")):
        mine = ours.pop(row["version"], None)
        if mine is None:
            message = (
                f"the ledger's schema is at {row['version']:04}_{row['name']}, this jobsd ends at {known()[-1]}; "
                "upgrade it to the version whose `jobsd migrate` made the schema"
            )
            raise SchemaError(message)
        if mine.checksum != row["checksum"]:
            message = (
                f"migration {mine} is not the one that made the ledger's schema; "
                "`jobsd migrate` only adds to a schema of its own making"
            )
            raise SchemaError(message)
    return list(ours.values())
