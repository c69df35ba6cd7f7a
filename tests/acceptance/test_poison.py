"""A job that takes all memory, among many that do not: it is found, kept with its evidence, and costs them nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from pathlib import Path

import asyncpg
import pytest

from jobsd import Client
from jobsd.errors import JobFailedError
from jobsd.store.looks import noted
from tests.acceptance.witness import PATIENCE_S, RECORDED, counted, settled, told, until, workers_are

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory: Linux"),
]

_INNOCENT = 50
_WORKER_BYTES = 400_000_000
_SUSPECT = "100MB"


def _memory_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _kill_what_grows(pid: int) -> None:
    """Be the kernel that has no memory left: kill the process when it has too much."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while _memory_of(pid) < _WORKER_BYTES:
            await asyncio.sleep(0.01)
        os.kill(pid, signal.SIGKILL)


async def test_a_bomb_among_innocents_is_archived_with_its_evidence(
    daemon, redis, redis_url, database_url, tmp_path
) -> None:
    settings = {
        "JOBSD_WORKER__LEASE": "2s",
        "JOBSD_WORKER__SUSPECT_MEMORY": _SUSPECT,
        "JOBSD_DATABASE_URL": database_url,
    } | RECORDED
    first = daemon(**settings)
    await until(lambda: workers_are(redis, 1))
    async with Client(redis_url) as jobs:
        innocents = [await jobs.enqueue("innocent", n) for n in range(_INNOCENT)]
        await until(lambda: len(told(tmp_path, "started")) == _INNOCENT)
        culprit = await jobs.enqueue("bomb")
        await _kill_what_grows(first.process.pid)
        first.wait()

        second = daemon(**settings)
        results = await asyncio.gather(*(innocent.result(PATIENCE_S) for innocent in innocents))
        assert sorted(results) == list(range(_INNOCENT))
        with pytest.raises(JobFailedError) as failed:
            await culprit.result(PATIENCE_S)
        archived = noted((await jobs.following().looks.dead("default", culprit.id))[1])
    assert first.process.returncode == -signal.SIGKILL

    peak_mb = re.fullmatch(
        r"lost: it asked for more than 100 MB of memory; peak memory (\d+) MB; this job lost its process 3 times",
        failed.value.message,
    )
    assert peak_mb
    assert 100 < int(peak_mb[1]) < 300
    assert (archived["l"], archived["f"], archived["outcome"]) == (3, 0, "lost")
    assert len(archived["w"]) == 3
    assert round(archived["w"][-1][3] / 1_000_000) == int(peak_mb[1])
    starts = told(tmp_path, "started")
    assert sum(one.job_id == culprit.id for one in starts) == 3
    assert len(told(tmp_path, "ended")) == _INNOCENT

    # Nobody used up a retry; who was there when the worker died ran twice.
    await until(lambda: settled(redis))
    assert (await counted(redis))["lost"] == _INNOCENT + 1
    ledger = await asyncpg.connect(database_url)
    rows = await ledger.fetch(
        "SELECT task, outcome, transition, count(*) FROM jobsd.executions GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    await ledger.close()
    assert [tuple(row) for row in rows] == [
        ("bomb", "lost", "archived", 1),
        ("bomb", "lost", "requeued", 2),
        ("innocent", "lost", "requeued", _INNOCENT),
        ("innocent", "succeeded", "completed", _INNOCENT),
    ]
    assert second.terminate() == 0
