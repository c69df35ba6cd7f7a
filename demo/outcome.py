"""What Postgres says of every job, compared with what was to be expected; and the exported file, line by line."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from demo import DemoError, shop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from demo.ground import Ground
    from demo.service import Expected

_RECORDED_WITHIN_S = 15.0
_LOOK_EVERY_S = 0.05
_ENDED = ("completed", "archived", "removed")

# One row a job: its last run, how many there were, how long it waited for the first.
_LAST_RUNS = """
    SELECT DISTINCT ON (job_id) job_id, transition, message,
           count(*) OVER of_job AS runs,
           extract(epoch FROM min(started_at - enqueued_at) OVER of_job)::float8 AS waited_s
    FROM jobsd.executions WHERE job_id = ANY($1::text[])
    WINDOW of_job AS (PARTITION BY job_id)
    ORDER BY job_id, attempt DESC
"""


_BY_TASK = """
SELECT task, count(*) AS runs,
       count(*) FILTER (WHERE success) AS succeeded,
       count(*) FILTER (WHERE transition = 'retry') AS retries,
       count(*) FILTER (WHERE outcome IN ('failed', 'timed_out')) AS failures,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_seconds::float8) AS p50_s,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds::float8) AS p95_s
FROM jobsd.executions
WHERE started_at >= $1
GROUP BY task
ORDER BY task
"""


async def by_task(ground: Ground) -> Sequence[Mapping[str, Any]]:
    """Return what became of the attempts of each task since the demo began."""
    return await ground.pool.fetch(_BY_TASK, ground.began_at)


async def recorded(ground: Ground, expected: Mapping[str, Expected]) -> dict[str, Any]:
    """Return the last run of each job by id, as soon as all that ended are in Postgres. Raises DemoError."""
    last: dict[str, Any] = {}
    try:
        async with asyncio.timeout(_RECORDED_WITHIN_S):
            while sum(row["transition"] in _ENDED for row in last.values()) < len(expected):
                last = {row["job_id"]: row for row in await ground.pool.fetch(_LAST_RUNS, list(expected))}
                await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError:
        problems = "\n".join(differences(expected, last))
        raise DemoError(f"after {_RECORDED_WITHIN_S:g} s Postgres does not know every job:\n{problems}") from None
    return last


def differences(expected: Mapping[str, Expected], last: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each way in which the jobs of a task did not end as they were to."""
    wrong: dict[tuple[str, str], list[str]] = defaultdict(list)
    for job_id, wanted in expected.items():
        if (what := _difference(wanted, last.get(job_id))) is not None:
            wrong[wanted.task, what].append(job_id)
    for (task, what), ids in wrong.items():
        yield f"{len(ids):,} of {task}: {what} (such as {ids[0]})"


def _difference(wanted: Expected, found: Any) -> str | None:
    if found is None:
        return "no record"
    ended = (found["transition"], found["runs"])
    if ended != (wanted.transition, wanted.runs):
        return f"{ended[0]} at run {ended[1]}, not {wanted.transition} at run {wanted.runs}"
    if found["waited_s"] < wanted.waits_s:
        return f"began after {found['waited_s']:.3f} s, not {wanted.waits_s} s"
    return None


def count_lines(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(block.count(b"\n") for block in iter(lambda: lines.read(1 << 20), b""))


def check_export(result: Mapping[str, Any], lines: int) -> Iterator[str]:
    """Yield what is wrong with the export: a line for every order, and one for the names of the columns."""
    if lines != shop.ORDERS + 1:
        yield f"{result['path']} has {lines:,} lines, not {shop.ORDERS + 1:,}"
    if result["rows"] != shop.ORDERS:
        yield f"the export counted {result['rows']:,} rows, not {shop.ORDERS:,}"
