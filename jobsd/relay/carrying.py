"""A portion of the stream into the ledger: as it was sent where all is well, decoded where not.

Decoding costs the loop that the jobs run on several times what sending costs. So Postgres opens the usual values,
and a fault sends those the careful way that look like one, or else the whole portion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.execution import ENDED_MARK, ENDS, UNTOLD_MARKS, JobEnd
from jobsd.records import outbox
from jobsd.records.writing import Record, Rejected, Written, write_as_sent
from jobsd.records.writing import write as write_decoded
from jobsd.redaction import Policies
from jobsd.relay.decoding import decode
from jobsd.store.ids import OUTBOX_MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jobsd.execution import Execution
    from jobsd.records.pool import Pool

_USUAL_START = b'["'
_UNTOLD_STARTS = tuple(f'["{mark}"'.encode() for mark in (*UNTOLD_MARKS, ENDED_MARK))
_OF_NO_TASK = Policies()
# Postgres takes JSON nested by the thousand; whoever reads the ledger need not. As many brackets are never deeper.
_MOST_BRACKETS = 190
# What Postgres refuses looks like one of these, and so does little else.
_SUSPECT = (b"\\u", b"NaN", b"Infinity")


async def write(pool: Pool, portion: Sequence[tuple[bytes, bytes]], policies: Policies = _OF_NO_TASK) -> Written:
    """Write (job id, value) as the stream holds them; every one is in the ledger then, or among the rejected.

    Of runs that no worker tells of only those that the ``policies`` of their tasks let in, and what they show of them.
    """
    usual, others = _parted(portion, _is_usual)
    rows = await write_as_sent(pool, [value for _, value in usual])
    if rows is None:
        usual, suspects = _parted(usual, _is_harmless)
        others += suspects
        rows = await write_as_sent(pool, [value for _, value in usual]) if suspects else None
    if rows is None:
        return await _decode_and_write(pool, portion, policies)
    written = await _decode_and_write(pool, others, policies)
    return Written(rows + written.rows, written.rejected)


def _end_of(refused: Execution) -> tuple[str, str] | None:
    """Return the job of the outbox that ended so; the fields may be anything."""
    incarnation = str(refused.incarnation)
    return (
        (str(refused.job_id), incarnation)
        if incarnation.startswith(OUTBOX_MARK) and str(refused.transition) in ENDS
        else None
    )


def _parted(
    records: Sequence[tuple[bytes, bytes]], fits: Callable[[bytes], bool]
) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
    """Return those whose value fits, and the others."""
    parts: tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]] = ([], [])
    for record in records:
        parts[not fits(record[1])].append(record)
    return parts


def _is_usual(value: bytes) -> bool:
    return (
        value.startswith(_USUAL_START)
        and not value.startswith(_UNTOLD_STARTS)
        and value.count(b"[") + value.count(b"{") <= _MOST_BRACKETS
    )


def _is_harmless(value: bytes) -> bool:
    return not any(mark in value for mark in _SUSPECT)


async def _decode_and_write(
    pool: Pool, portion: Iterable[tuple[bytes, bytes]], policies: Policies = _OF_NO_TASK
) -> Written:
    records: list[Record] = []
    rejected: list[Rejected] = []
    ended: list[tuple[str, str]] = []
    for job_id, value in portion:
        read = decode(job_id, value, policies)
        if isinstance(read, Record):
            records.append(read)
        elif isinstance(read, JobEnd):
            ended.append((read.job_id, read.incarnation))
        elif read is not None:
            rejected.append(read)
    written = await write_decoded(pool, records)
    ended += [end for bad in written.rejected if bad.execution and (end := _end_of(bad.execution))]
    if ended:  # a job leaves the outbox, whatever becomes of its record
        await outbox.end(pool, ended)
    return Written(written.rows, rejected + written.rejected)
