"""How the last runs of schedules have ended, as the ledger has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import ms_from_datetime
from jobsd.records.queries import query
from jobsd.schedule.state import Ended

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.records.pool import Pool


async def last_outcomes(pool: Pool, jobs: Sequence[tuple[str, str]]) -> dict[str, Ended]:
    """Return job -> how its latest recorded attempt has ended. ``jobs`` are ("<id> <incarnation>", queue)."""
    if not jobs:
        return {}
    parts = [job.partition(" ") for job, _ in jobs]
    rows = await pool.fetch(query("last_outcomes"), [part[0] for part in parts], [part[2] for part in parts])
    return {
        f"{row['job_id']} {row['incarnation']}": Ended(row["outcome"], ms_from_datetime(row["finished_at"]))
        for row in rows
    }
