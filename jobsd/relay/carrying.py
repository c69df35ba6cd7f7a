"""A portion of the stream into the ledger: as it was sent where all is well, decoded where not.

Decoding costs the loop that the jobs run on several times what sending costs. So Postgres opens the usual values,
and a fault in one of them only sends the whole portion the careful way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.execution import UNTOLD_MARKS
from jobsd.records.writing import Record, Rejected, Written, write_as_sent
from jobsd.records.writing import write as write_decoded
from jobsd.relay.decoding import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobsd.records.pool import Pool

_USUAL_START = b'["'
_UNTOLD_STARTS = tuple(f'["{mark}"'.encode() for mark in UNTOLD_MARKS)
# Postgres takes JSON nested by the thousand; whoever reads the ledger need not. As many brackets are never deeper.
_MOST_BRACKETS = 190


async def write(pool: Pool, portion: Sequence[tuple[bytes, bytes]]) -> Written:
    """Write (job id, value) as the stream holds them; every one is in the ledger then, or among the rejected."""
    usual: list[bytes] = []
    others: list[tuple[bytes, bytes]] = []
    for record in portion:
        if _is_usual(record[1]):
            usual.append(record[1])
        else:
            others.append(record)
    rows = await write_as_sent(pool, usual)
    if rows is None:
        return await _decode_and_write(pool, portion)
    written = await _decode_and_write(pool, others)
    return Written(rows + written.rows, written.rejected)


def _is_usual(value: bytes) -> bool:
    return (
        value.startswith(_USUAL_START)
        and not value.startswith(_UNTOLD_STARTS)
        and value.count(b"[") + value.count(b"{") <= _MOST_BRACKETS
    )


async def _decode_and_write(pool: Pool, portion: Iterable[tuple[bytes, bytes]]) -> Written:
    records: list[Record] = []
    rejected: list[Rejected] = []
    for job_id, value in portion:
        read = decode(job_id, value)
        if isinstance(read, Record):
            records.append(read)
        else:
            rejected.append(read)
    written = await write_decoded(pool, records)
    return Written(written.rows, rejected + written.rejected)
