"""What commits once: the row of a key is inserted first, and commits together with what the task writes.

The primary key judges: a second transaction waits for the first, and is refused when that has committed. What became of
a COMMIT that nobody answered is not guessed: its key is asked for on another connection, behind whoever is still at it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import asyncpg
from pydantic_core import PydanticSerializationError, from_json, to_json

from jobsd.clock import monotonic
from jobsd.errors import InDoubtError, SchemaError, TransactionError
from jobsd.events import Event
from jobsd.execution import RESULT_LIMIT
from jobsd.logger import log
from jobsd.outcome import Asleep
from jobsd.records.pool import in_words
from jobsd.secret_values import as_they_are, holds_secrets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobsd.store.jobs import Lease

T = TypeVar("T")

COMMIT_WITHIN_S = 10.0
SETTLED_WITHIN_S = 30.0
"""How long an answer is looked for, from the loss of the connection on."""
_UNDONE_WITHIN_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0

_CAUGHT = "a statement in it failed and its error was caught; catch it around a nested `async with conn.transaction()`"
_ROLLED_BACK = "it was rolled back inside of its block"
_BY_HAND = "COMMIT was said by hand, inside of its block"
_APART = "what came before it is committed; what followed was by itself, statement by statement; the block says COMMIT"

OVER = "the function of this run has ended; it has to await what it begins"

open_step: ContextVar[Lease | None] = ContextVar("jobsd_open_step", default=None)
"""Whose ``step_transaction`` has a connection, in the context in which its function runs."""


class Row(NamedTuple):
    """A row of which there can be one: its statements, its ``key``, and what is inserted with it.

    ``insert`` takes key, token and ``rest``; ``find`` key and token, or null for that of any run; ``keep`` key, token
    and result. Each returns the token, or no row.
    """

    insert: str
    find: str
    keep: str
    job_id: str
    key: tuple[str, ...]
    token: str
    rest: tuple[Any, ...] = ()


class Found(NamedTuple):
    """What has committed. ``result`` is JSON; None: there is none."""

    token: str
    result: str | None


class Once:
    """One transaction of a task for ``row``. ``pool`` is asyncpg's."""

    def __init__(self, pool: Any, row: Row) -> None:
        self._pool = pool
        self._row = row
        self._transaction: Any = None
        self.connection: Any = None
        """The task's, in the transaction, between ``begin`` and the end."""

    async def begin(self) -> Found | None:
        """Open it. What another run has committed is returned, and nothing is open. Raises asyncpg's errors.

        How long it waits for a run that has not ended is limited by the task's timeout, and by the time after which
        the server ends an idle transaction.
        """
        connection = await self._pool.acquire()
        # In a stricter one, which may be the role's default, who has waited for the key gets an error, and not the row.
        self.connection, self._transaction = connection, connection.transaction(isolation="read_committed")
        try:
            await self._transaction.start()
            if await self._inserted(connection):
                return None
            found = await self._found(connection)
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
            await self.rollback()
            raise SchemaError(f"{error}; run `jobsd migrate`") from None
        except BaseException:
            await self.rollback()
            raise
        await self.rollback()
        return found

    async def commit(self, result: str | None) -> Found | None:
        """Commit, with the result. What was committed by another run instead is returned.

        Raises what kept it from being committed, TransactionError if that was the task; InDoubtError if nobody knows.
        """
        try:
            by_hand = not self.connection.is_in_transaction()
            async with asyncio.timeout(COMMIT_WITHIN_S):
                whole = await self._completed(result)
        except asyncpg.InFailedSQLTransactionError:
            await self.rollback()
            raise TransactionError(f"nothing is committed: {_CAUGHT}", for_good=False) from None
        except BaseException:
            await self.rollback()
            raise
        if not whole:
            await self.rollback()
            raise TransactionError(f"nothing is committed: {_ROLLED_BACK}", for_good=False)
        if by_hand:
            log.warning(Event.TRANSACTION_COMMITTED_BY_HAND, cause=_BY_HAND, consequence=_APART)
        try:
            async with asyncio.timeout(COMMIT_WITHIN_S):
                await self._transaction.commit()
        except Exception as error:  # noqa: BLE001 - whatever it is, the key tells what became of the transaction
            self._cut()
            await self._release()
            return await self._settle(error)
        await self._release()
        return None

    async def undo(self, result: str | None = None) -> bool:
        """Roll back; say whether it is committed all the same, with the result: by the task, by hand."""
        committed = False
        with suppress(Exception):  # whatever it is, what is in the transaction still is not committed
            if not self.connection.is_in_transaction():
                async with asyncio.timeout(_UNDONE_WITHIN_S):
                    committed = await self._completed(result)
        await self.rollback()
        if committed:
            log.warning(Event.TRANSACTION_COMMITTED_BY_HAND, cause=_BY_HAND, consequence=_APART)
        return committed

    async def rollback(self) -> None:
        """End it, whatever state it is in; a server that does not answer does so by itself."""
        try:
            async with asyncio.timeout(_UNDONE_WITHIN_S):
                await self._transaction.rollback()
        except Exception:  # noqa: BLE001 - without its connection there is no transaction
            self._cut()
        except BaseException:
            self._cut()
            raise
        finally:
            await self._release()

    async def look(self) -> Found | None:
        """Return what is committed; None: nothing is, and nothing can be any more that was begun before.

        It waits for a run that is still at it.
        """
        again = Once(self._pool, self._row)
        found = await again.begin()
        if found is None:
            await again.rollback()
        return found

    async def _settle(self, error: Exception) -> Found | None:
        """Find out what became of the COMMIT that ended with ``error``."""
        try:
            found = await insisting(self.look, SETTLED_WITHIN_S)
        except Exception as last:  # noqa: BLE001 - it is said; the next attempt asks again
            cause = f"{in_words(error)}; then {in_words(last)}"
            raise InDoubtError(job_id=self._row.job_id, cause=cause) from error
        if found is None:
            raise error
        return None if found.token == self._row.token else found

    async def _inserted(self, connection: Any) -> bool:
        row = self._row
        return await connection.fetchval(row.insert, *row.key, row.token, *row.rest) is not None

    async def _completed(self, result: str | None) -> bool:
        """Say whether the row is there still: a task may have ended the transaction without knowing."""
        row = self._row
        if result is None:
            return await self.connection.fetchval(row.find, *row.key, row.token) is not None
        return await self.connection.fetchval(row.keep, *row.key, row.token, result) is not None

    async def _found(self, connection: Any) -> Found:
        row = await connection.fetchrow(self._row.find, *self._row.key, None)
        return Found(*row) if row is not None else Found("", None)  # deleted since: it was kept long enough

    def _cut(self) -> None:
        with suppress(asyncpg.InterfaceError):  # it was lost, and the pool has it back
            self.connection.terminate()

    async def _release(self) -> None:
        with suppress(Exception):  # the pool ends what it cannot use again
            await self._pool.release(self.connection, timeout=_UNDONE_WITHIN_S)


async def insisting(
    ask: Callable[[], Awaitable[T]], within_s: float, again: tuple[type[Exception], ...] = (Exception,)
) -> T:
    """Ask until an answer has come; raises the last error when that takes too long, or one that is not ``again``."""
    until, pause_s = monotonic() + within_s, _FIRST_PAUSE_S
    while True:
        try:
            async with asyncio.timeout(max(0.0, until - monotonic())):
                return await ask()
        except again:
            if monotonic() + pause_s >= until:
                raise
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def is_over(lease: Lease) -> bool:
    """Say whether the run's function has ended. Raises Asleep, once more, where it is to end and goes on."""
    if isinstance(lease.over, Asleep):
        raise Asleep(lease.over.delay_ms)
    return lease.over


def check_pool(pool: Any) -> Any:
    """Return the pool. Raises TransactionError for what is none of asyncpg's."""
    if not isinstance(pool, asyncpg.Pool):
        raise TransactionError(f'ctx["db"] is {pool!r}; ctx.transaction() and steps need a pool of asyncpg\'s')
    return pool


def text_of(name: str) -> str:
    """Return a job's id, a token or the like as Postgres can keep it; two that differ stay so."""
    return name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def json_of(value: Any) -> str:
    """Return the JSON of a result that is to be kept. ValueError says why there is none."""
    try:
        encoded = to_json(value)
        from_json(encoded)  # there is JSON that is written and not read: nested too deeply, numbers too long
        secret = holds_secrets(encoded) and as_they_are(value) != encoded
    except (PydanticSerializationError, ValueError, RecursionError, TypeError) as error:
        msg = f"it is not JSON: {error}"
        raise ValueError(msg) from None
    if secret:
        msg = "it holds a secret, which anybody could read in the database; return what leads to it instead"
        raise ValueError(msg)
    if len(encoded) > RESULT_LIMIT:
        msg = f"it is {len(encoded):,} bytes; the limit is {RESULT_LIMIT:,}"
        raise ValueError(msg)
    return encoded.decode()


def value_of(result: str | None) -> Any:
    return None if result is None else from_json(result)
