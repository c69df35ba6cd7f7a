"""A batch of records into the ledger: one statement where all is well, the bad rows set aside where not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd.records.cleaning import clean_text, cleaned
from jobsd.records.inserting import ROWS_FAULT, as_json, insert
from jobsd.records.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobsd.execution import Execution
    from jobsd.records.pool import Pool

_LONGEST_CAUSE = 2048
_LOST = "lost"


class Record(NamedTuple):
    """``raw`` is what the execution was read from, kept should the ledger refuse the row."""

    execution: Execution
    raw: bytes


class Rejected(NamedTuple):
    """``execution`` is what could be read, and not be written."""

    job_id: str
    raw: bytes
    cause: str
    execution: Execution | None = None


class Written(NamedTuple):
    """``rows`` counts what is new in the ledger or replaced a ``lost``; records seen before are not in it."""

    rows: int
    rejected: list[Rejected]


async def write_as_sent(pool: Pool, values: Sequence[bytes]) -> int | None:
    """Write arrays of executions that nobody has looked into yet, and return how many rows that made.

    None: there is something about one of them, nothing was written, and ``write`` must see to them all.
    """
    if not values:
        return 0
    try:
        return await insert(pool, values)
    except ROWS_FAULT:
        return None


async def write(pool: Pool, records: Sequence[Record]) -> Written:
    """Write what the ledger takes and return what it does not. UnreachableError: write them all again."""
    batch = _each_run_once(records)
    if not batch:
        return Written(0, [])
    try:
        return Written(await _insert(pool, batch), [])
    except ROWS_FAULT:
        return await _write_by_halves(pool, [_cleaned(record) for record in batch])


async def reject(pool: Pool, rejected: Sequence[Rejected]) -> None:
    """Keep what could not be written, for a person to look at."""
    if rejected:
        await pool.execute(
            query("insert_rejected"),
            [clean_text(bad.job_id) for bad in rejected],
            [bad.raw for bad in rejected],
            [clean_text(bad.cause)[:_LONGEST_CAUSE] for bad in rejected],
        )


def _each_run_once(records: Iterable[Record]) -> list[Record]:
    """A statement cannot touch a row twice, and a run may end late after it was given up as lost."""
    runs: dict[tuple[Any, ...], Record] = {}
    for record in records:
        run = record.execution
        key = (run.job_id, run.attempt, run.started_at)
        earlier = runs.get(key)
        if earlier is None or (earlier.execution.outcome == _LOST and run.outcome != _LOST):
            runs[key] = record
    return list(runs.values())


async def _insert(pool: Pool, records: Sequence[Record]) -> int:
    return await insert(pool, [as_json(record.execution) for record in records])


def _cleaned(record: Record) -> Record:
    try:
        return record._replace(execution=cleaned(record.execution))
    except RecursionError:  # as it is, it will be refused
        return record


async def _write_by_halves(pool: Pool, records: Sequence[Record]) -> Written:
    try:
        return Written(await _insert(pool, records), [])
    except ROWS_FAULT as error:
        if len(records) == 1:
            [bad] = records
            return Written(0, [Rejected(str(bad.execution.job_id), bad.raw, str(error), bad.execution)])
    middle = len(records) // 2
    left, right = await _write_by_halves(pool, records[:middle]), await _write_by_halves(pool, records[middle:])
    return Written(left.rows + right.rows, left.rejected + right.rejected)
