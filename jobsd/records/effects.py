"""The transaction that ends a job: what the task writes and the fact that the job is done commit together, once.

``ctx.transaction()`` leaves its Effect at the job's lease. Who makes the outcome of the run asks it there what became
of it, whatever the function did next.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import asyncpg

from jobsd.errors import InDoubtError, TransactionError
from jobsd.outcome import AlreadyDone
from jobsd.records.once import OVER, Found, Once, Row, check_pool, is_over, json_of, open_step, text_of, value_of
from jobsd.records.pool import OUT_OF_REACH
from jobsd.records.queries import query

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from jobsd.store.jobs import Lease

State: TypeAlias = Literal["opening", "open", "deciding", "committed", "found", "doubt", "undone"]
"""``found``: another run's is committed. ``doubt``: nobody can say. ``undone``: nothing is; it may be tried again."""

_ONE = "a job has one ctx.transaction(); for several use ctx.step_transaction"
_INSIDE = "ctx.set_result() has its place inside of ctx.transaction()"
_IN_STEP = "ctx.transaction() is not for the inside of a function of ctx.step_transaction()"


@asynccontextmanager
async def transaction(pool: Any, lease: Lease, incarnation: str, task: str) -> AsyncGenerator[Any]:
    """Return the connection of the job's one transaction. Raises AlreadyDone, TransactionError, InDoubtError."""
    if is_over(lease):
        raise TransactionError(OVER)
    if open_step.get() is lease:
        raise TransactionError(_IN_STEP)
    if lease.effect is not None and lease.effect.state != "undone":
        raise TransactionError(_ONE)
    effect = lease.effect = Effect(pool, lease, incarnation, task)
    connection = await effect.begin()
    try:
        yield connection
    except BaseException:
        await effect.undo()
        raise
    await effect.commit()


def set_result(lease: Lease, value: Any) -> None:
    """Let ``value`` be the job's result if the transaction commits. Raises TransactionError."""
    if lease.effect is None or lease.effect.state != "open":
        raise TransactionError(_INSIDE)
    try:
        lease.effect.keep(json_of(value))
    except ValueError as error:
        raise TransactionError(f"the result cannot be kept with the transaction: {error}") from None


async def find_effect(pool: Any, job_id: str, incarnation: str) -> Found | None:
    """Return what a run of the job has committed, as far as anybody can see now."""
    try:
        row = await check_pool(pool).fetchrow(query("effect"), text_of(job_id), text_of(incarnation), None)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):  # where nothing is kept nothing was committed
        return None
    return None if row is None else Found(*row)


async def await_effect(pool: Any, lease: Lease, incarnation: str, task: str) -> Found | None:
    """Return what a run of the job has committed; one that is at it is waited for."""
    return await Once(check_pool(pool), _row(lease, incarnation, task)).look()


class Effect:
    """One ``ctx.transaction()``, from its beginning until it is known what became of it."""

    def __init__(self, pool: Any, lease: Lease, incarnation: str, task: str) -> None:
        self.state: State = "opening"
        self.result: Any = None
        """What the job's result is, if ``given``."""
        self.given = False
        self.doubt: InDoubtError | None = None
        self.decision: asyncio.Task[bool] | None = None
        """Ends when it is known: nobody's cancellation keeps a COMMIT that was sent from being decided."""
        self.unreached: Exception | None = None
        """Why Postgres could not be asked at its beginning."""
        self._lease = lease
        self._once = Once(check_pool(pool), _row(lease, incarnation, task))
        self._kept: str | None = None

    async def begin(self) -> Any:
        """Return the connection. Raises AlreadyDone."""
        try:
            found = await self._once.begin()
        except BaseException as error:
            self.state = "undone"
            self.unreached = error if isinstance(error, OUT_OF_REACH) else None
            raise
        if found is not None:
            self._take(found)
            raise AlreadyDone
        self.state = "open"
        await self._unless_over()
        return self._once.connection

    def keep(self, result: str) -> None:
        self._kept, self.result, self.given = result, value_of(result), True

    async def undo(self) -> None:
        if self.state == "open":
            self.state = "undone"
            if await self._once.undo(self._kept):
                self.state = "committed"

    async def commit(self) -> None:
        """Commit; cancelled, it leaves the decision to ``decision``. Raises AlreadyDone, InDoubtError."""
        await self._unless_over()
        self.state = "deciding"
        self.decision = asyncio.create_task(self._decide())
        if await asyncio.shield(self.decision):
            raise AlreadyDone

    async def _unless_over(self) -> None:
        if self._lease.over:
            await self.undo()
            is_over(self._lease)
            raise TransactionError(OVER)

    async def _decide(self) -> bool:
        """Commit; return whether another run's effect is committed instead."""
        try:
            found = await self._once.commit(self._kept)
        except InDoubtError as error:
            self.state, self.doubt = "doubt", error
            raise
        except Exception:
            self.state = "undone"
            raise
        if found is not None:
            self._take(found)
            return True
        self.state = "committed"
        return False

    def _take(self, found: Found) -> None:
        self.state, self.result, self.given = "found", value_of(found.result), True


def _row(lease: Lease, incarnation: str, task: str) -> Row:
    key = text_of(lease.id), text_of(incarnation)
    statements = query("insert_effect"), query("effect"), query("keep_effect")
    return Row(*statements, lease.id, key, text_of(lease.mark), (text_of(task),))
