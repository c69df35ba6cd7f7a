"""How far the ledger has come: what a person asks who sees records wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobsd.records.queries import query

if TYPE_CHECKING:
    from datetime import datetime

    from jobsd.records.pool import Pool


@dataclass(frozen=True)
class Recorded:
    """``runs`` are executions that started since the hour asked for, ``rejected`` all records ever refused."""

    runs: int
    rejected: int


async def recorded(pool: Pool, since: datetime) -> Recorded:
    """Return what the ledger has of executions that started in the hour that begins at ``since``, or later."""
    (row,) = await pool.fetch(query("recorded"), since)
    return Recorded(runs=row["runs"], rejected=row["rejected"])
