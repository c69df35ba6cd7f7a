"""One statement that makes rows of executions. They travel as JSON, which Postgres opens: it costs Python least."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import asyncpg
from pydantic_core import to_json

from jobsd.execution import Execution
from jobsd.records.queries import query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.records.pool import Pool

# It is the row's fault, not the server's or the moment's: another try ends the same. Full disks, missing tables,
# deadlocks and locks are not among them; they leave the batch where it is.
ROWS_FAULT = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.CardinalityViolationError,  # a run twice in one batch, or two job ids that were cleaned into one
    asyncpg.ProgramLimitExceededError,
    ValueError,  # no JSON form, no UTF-8
    RecursionError,
)
_KINDS = {name: get_args(kind) or (kind,) for name, kind in get_type_hints(Execution).items()}


async def insert(pool: Pool, executions: Sequence[bytes]) -> int:
    """Return how many rows are new or replaced a ``lost``. One of ROWS_FAULT: nothing was written.

    Each of ``executions`` is one JSON array of an Execution's fields.
    """
    return await pool.fetchval(query("insert_executions"), [execution.decode() for execution in executions])


def as_json(execution: Execution) -> bytes:
    """Return what ``insert`` takes. ValueError says which field Postgres would not take."""
    fields = tuple(execution)
    if misfit := _misfit(tuple(map(type, fields))):
        raise ValueError(misfit)
    return to_json(fields, inf_nan_mode="constants")  # no JSON: Postgres refuses it


@lru_cache(maxsize=256)
def _misfit(types: tuple[type[Any], ...]) -> str | None:
    for (name, kinds), found in zip(_KINDS.items(), types, strict=True):
        if found not in kinds and Any not in kinds:
            return f"{name}: expected {kinds[0].__name__}, got {found.__name__}"
    return None
