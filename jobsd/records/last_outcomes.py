"""How the last runs of schedules have ended, as the ledger has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.records.queries import query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.records.pool import Pool


async def last_outcomes(pool: Pool, jobs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return job -> outcome of its latest recorded attempt. ``jobs`` are ("<id> <incarnation>", queue)."""
    if not jobs:
        return {}
    parts = [job.partition(" ") for job, _ in jobs]
    rows = await pool.fetch(query("last_outcomes"), [part[0] for part in parts], [part[2] for part in parts])
    return {f"{row['job_id']} {row['incarnation']}": row["outcome"] for row in rows}
