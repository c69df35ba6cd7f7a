"""export:process: a named query as a CSV file, streamed from Postgres in bounded memory.

    ref = await enqueue(process, "orders", {"since": "2026-01-01T00:00:00Z"}, user="ann")
    await ref.progress()   # (12000, 30000), in rows
    await ref.result()     # {"path": "/srv/exports/export_ann_20260102_083000.csv", "rows": 30000, …}

The files go to the directory that EXPORT_DIR names (./exports). One is never there in part: it is written under a
temporary name and renamed when it is whole. A run that fails may be repeated; it begins anew.
"""

from __future__ import annotations

import asyncio
import csv
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict

from jobsd import Context, SkipRetry, task
from tasks.named_queries import named_query

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

_CHUNK_ROWS = 1000
_FORMATS = ("csv",)
# Letters of any script and digits first: so no "..", no hidden file, no path, nothing that a shell reads as an option.
_FILE_NAME = re.compile(r"\w[\w .@+,()=-]*")
_LONGEST_NAME_BYTES = 200
_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")


class Export(TypedDict):
    """The result. ``bytes`` is the size of the file, ``duration_s`` how long it took."""

    path: str
    rows: int
    bytes: int
    duration_s: float


@task("export:process", queue="low", timeout="30m")
async def process(
    ctx: Context,
    query: str,
    parameters: dict[str, Any] | None = None,
    *,
    user: str | int = "system",
    format: str = "csv",  # noqa: A002 - the word that callers know
    file_name: str | None = None,
    total: int | None = None,
) -> Export:
    """Write what ``query`` (a file in queries/) finds to ``file_name``, else to export_{user}_{when enqueued, UTC}.csv.

    A file of that name is replaced. ``total`` saves counting the rows beforehand; it is only for the progress.
    A wrong argument fails for good: it would be as wrong the next time.
    """
    if format not in _FORMATS:
        raise SkipRetry(f"format {format!r} cannot be exported; available: {', '.join(_FORMATS)}")
    chosen = named_query(query)
    values = chosen.bind(parameters or {})
    name = _checked(file_name or _default_name(user, ctx["enqueue_time"]))

    began, rows = time.monotonic(), 0
    with _CsvFile(_directory(), name, ctx.job_id, ctx.attempt) as file:
        # One snapshot for the count and the rows; the cursor keeps all but one chunk on the server.
        async with ctx.db.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            if total is None:
                total = int(await connection.fetchval(chosen.count_sql, *values))
            statement = await connection.prepare(chosen.sql)
            cursor = await statement.cursor(*values)
            await asyncio.to_thread(file.write, [[column.name for column in statement.get_attributes()]])
            while chunk := await cursor.fetch(_CHUNK_ROWS):
                await asyncio.to_thread(file.write, chunk)
                rows += len(chunk)
                await ctx.progress(rows, max(rows, total))
        size = await asyncio.to_thread(file.publish)
    await ctx.progress(rows, rows)
    return Export(path=str(file.path), rows=rows, bytes=size, duration_s=round(time.monotonic() - began, 3))


class _CsvFile:
    """A CSV file (RFC 4180, UTF-8) that nobody sees under its name before it is published.

    Its methods block, so they are called in a thread; only opening is a matter of few system calls.
    """

    def __init__(self, directory: Path, name: str, job_id: str, attempt: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / name
        # What a run left that was killed. Each has a name of its own, so that one which was only taken for dead
        # does not write into this file.
        for earlier in range(1, attempt):
            _part(directory, job_id, earlier).unlink(missing_ok=True)
        self._part = _part(directory, job_id, attempt)
        self._file = self._part.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        self._writer.writerows([_harmless(cell) for cell in row] for row in rows)

    def publish(self) -> int:
        """Give the file its name and return its size in bytes; from here on it survives a power cut."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.replace(self.path)
        return os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)  # there no more if it was published


def _harmless(cell: Any) -> Any:
    """Return a text that a spreadsheet would run as a formula with ' before it; all else unchanged, numbers too.

    Source: OWASP, "CSV Injection".
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_BEGINS) else cell


def _directory() -> Path:
    return Path(os.environ.get("EXPORT_DIR") or "exports").absolute()


def _default_name(user: str | int, enqueued_at: datetime) -> str:
    """Return the same name for every run of a job, so that a repeated one replaces its own file."""
    plain = re.sub(r"[^\w.@+-]", "_", str(user))
    return f"export_{plain}_{enqueued_at:%Y%m%d_%H%M%S}.csv"


def _checked(name: str) -> str:
    """Return ``name`` if it is a plain name of a file, so that it cannot leave its directory. Raises SkipRetry."""
    if not _FILE_NAME.fullmatch(name) or len(name.encode()) > _LONGEST_NAME_BYTES:
        raise SkipRetry(
            f"file name {name!r} is refused: it may have letters, digits, blanks and _.@+,()=- in it, begins with a "
            f"letter, a digit or _, and is at most {_LONGEST_NAME_BYTES} bytes; a path is not allowed"
        )
    return name


def _part(directory: Path, job_id: str, attempt: int) -> Path:
    return directory / f".{job_id}.{attempt}.part"
