"""The outbox in Postgres: jobs that were enqueued in somebody's transaction, and have not ended yet."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from jobsd.records.queries import query

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from jobsd.records.pool import Connection, Pool

NEW = ""
"""The life of Redis that has the jobs which were never pushed."""


class OutboxJob(NamedTuple):
    job_id: str
    incarnation: str
    queue: str
    payload: str
    at_once: bool
    again: bool
    due_ms: int


@dataclass(frozen=True)
class OutboxLag:
    """``unpushed`` are jobs that Redis never had, the oldest for ``unpushed_age_ms``; ``problem`` is why one waits."""

    jobs: int
    unpushed: int
    unpushed_age_ms: int | None
    problem: str | None


async def outbox_lag(pool: Pool) -> OutboxLag:
    (row,) = await pool.fetch(query("outbox_lag"))
    return OutboxLag(**row)


class Handover:
    """Jobs that nobody else pushes meanwhile, in a transaction that is to be short."""

    def __init__(self, connection: Connection, jobs: list[OutboxJob]) -> None:
        self._connection = connection
        self.jobs = jobs

    async def pushed(self, job_ids: Sequence[str], life: str) -> None:
        if job_ids:
            await self._connection.execute(query("outbox_pushed"), list(job_ids), life)

    async def held(self, problems: dict[str, str], later_s: int) -> None:
        if problems:
            await self._connection.execute(query("outbox_held"), list(problems), list(problems.values()), later_s)

    async def over(self, jobs: Iterable[tuple[str, str]]) -> None:
        await _end(self._connection, jobs)


@asynccontextmanager
async def handover(pool: Pool, pushed_to: str, most: int) -> AsyncGenerator[Handover]:
    """Take jobs that are to be pushed. UnreachableError: what was noted of them may not be."""
    async with pool.transaction() as connection:
        rows = await connection.fetch(query("outbox_waiting"), pushed_to, most)
        yield Handover(connection, [OutboxJob(**row) for row in rows])


async def is_home(pool: Pool, epoch: str, before: str, gone_s: int) -> bool:
    """Say that the outbox belongs to this Redis; False if it is another's that was heard of in ``gone_s`` seconds."""
    return bool(await pool.fetch(query("outbox_home"), epoch, before, gone_s))


async def lives(pool: Pool) -> list[str]:
    """Return the lives of Redis to which what is in the outbox was pushed."""
    return [row["pushed_to"] for row in await pool.fetch(query("outbox_lives"))]


async def here(pool: Pool, jobs: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return which of these (job id, incarnation) are in the outbox."""
    ids, incarnations = [job[0] for job in jobs], [job[1] for job in jobs]
    rows = await pool.fetch(query("outbox_here"), ids, incarnations)
    return {(row["job_id"], row["incarnation"]) for row in rows}


async def left(pool: Pool, jobs: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return which of these are in the outbox and have not ended; delete those that have."""
    ids, incarnations = [job[0] for job in jobs], [job[1] for job in jobs]
    rows = await pool.fetch(query("outbox_left"), ids, incarnations)
    return {(row["job_id"], row["incarnation"]) for row in rows}


async def end(pool: Pool, jobs: Iterable[tuple[str, str]]) -> None:
    """Delete (job id, incarnation) that have ended."""
    async with pool.connection() as connection:
        await _end(connection, jobs)


async def _end(connection: Connection, jobs: Iterable[tuple[str, str]]) -> None:
    ended = list(jobs)
    if ended:
        await connection.execute(query("outbox_end"), [job[0] for job in ended], [job[1] for job in ended])
