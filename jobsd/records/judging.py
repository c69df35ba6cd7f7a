"""What the ledger and the outbox know of jobs about which Redis is in doubt: for fsck."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jobsd.records.queries import query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from jobsd.records.pool import Pool

_PAGE = 500


class OutboxRow(NamedTuple):
    """``late``: due, and more than a minute old; ``ended``, ``rejected``: what the ledger has of its last run."""

    job_id: str
    incarnation: str
    queue: str
    pushed_to: str
    problem: str | None
    late: bool
    ended: bool
    rejected: bool


class Home(NamedTuple):
    """The queue that a job was last known to be in; the incarnation says which job of that id."""

    job_id: str
    incarnation: str | None
    queue: str
    due_ms: int | None
    in_outbox: bool


async def outbox_pages(pool: Pool) -> AsyncIterator[list[OutboxRow]]:
    """Yield what is in the outbox. Raises UnreachableError."""
    after = ""
    while True:
        rows = [OutboxRow(**row) for row in await pool.fetch(query("outbox_examined"), after, _PAGE)]
        if rows:
            yield rows
        if len(rows) < _PAGE:
            return
        after = rows[-1].job_id


async def push_again(pool: Pool, jobs: Sequence[tuple[str, str]]) -> None:
    """Let (job id, incarnation) be pushed by the next daemon that looks, as jobs that may have run."""
    await pool.execute(query("outbox_again"), [job[0] for job in jobs], [job[1] for job in jobs])


async def homes(pool: Pool, job_ids: Sequence[str]) -> list[Home]:
    """Return the queues of those of these jobs that Postgres knows, and knows not to have ended."""
    texts = [job_id for job_id in job_ids if job_id.isprintable()]  # another system's id may be any bytes
    return [Home(**row) for row in await pool.fetch(query("homes"), texts)]
