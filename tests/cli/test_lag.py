"""jobsd history lag: what waits, what there may be, and what has come in; with Postgres and without."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import time
from typing import Any

import pytest
import redis
import typer
from typer.testing import CliRunner

from jobsd.cli.lag import lag
from jobsd.records.writing import write
from tests.records.ledger import a_ledger, a_record

KEY = "jobsd:{main}::records"


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path, redis_url: str) -> None:
    for name in os.environ:
        if name.startswith(("JOBSD_", "REDIS_", "DATABASE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("JOBSD_REDIS_URL", redis_url)
    monkeypatch.setenv("JOBSD_RECORDS__BACKLOG", "1MB")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def waiting(redis_url: str) -> None:
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        now = int(client.time()[0]) * 1000
        client.xadd(KEY, {"job": b"x" * 1_097_000}, id=f"{now - 90_000}-0")


def told(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(lag)
    ended: Any = CliRunner().invoke(app, [*arguments])
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_what_waits_is_told_where_postgres_does_not_answer(monkeypatch, tmp_path, waiting) -> None:
    monkeypatch.setenv("JOBSD_DATABASE_URL", f"postgresql:///ledger?host={tmp_path}")
    lines = told().splitlines()
    assert lines[0].startswith("waiting    1.1 MB in 1 batch, the oldest since 1m3")
    assert re.fullmatch(r"limit      1.0 MB, of which 110% is taken; claims: slowed to (59|60|61)%", lines[1])
    assert lines[2].startswith("ledger     Postgres at ")
    assert len(lines) == 3


def test_what_came_into_the_ledger_is_told(monkeypatch, database_url) -> None:
    async def filled() -> None:
        async with a_ledger(database_url) as pool:
            now_ms = int(time.time() * 1000)
            await write(pool, [a_record(started_at=now_ms, finished_at=now_ms)])
            await pool.execute("INSERT INTO jobsd.records_rejected (job_id, raw, cause) VALUES ('a', 'a', 'odd')")

    asyncio.run(filled())
    monkeypatch.setenv("JOBSD_DATABASE_URL", database_url)
    lines = told().splitlines()
    assert lines[0] == "waiting    nothing"
    assert lines[1] == "limit      1.0 MB, of which 0% is taken; claims: as ever"
    assert lines[2] == "ledger     answers"
    assert lines[3].startswith("recorded   1 executions that started since ")
    assert lines[4] == "rejected   1 records, ever"
    assert lines[5] == "outbox     0 jobs that have not ended"


def test_what_is_in_the_outbox_is_told_and_what_holds_it_up(monkeypatch, database_url) -> None:
    rows = [
        {"id": name, "i": f"o{name:0<11}", "q": "default", "w": "", "p": f'{{"i":"o{name:0<11}"}}'}
        for name in ("a", "b", "c")
    ]

    async def filled() -> None:
        async with a_ledger(database_url) as pool:
            await pool.fetch("SELECT jobsd.put_in_outbox($1::json)", json.dumps(rows))
            await pool.execute("UPDATE jobsd.outbox SET pushed_to = 'a life' WHERE job_id = 'a'")
            await pool.execute("UPDATE jobsd.outbox SET problem = 'its id is taken' WHERE job_id = 'b'")
            await pool.execute("UPDATE jobsd.outbox SET enqueued_at = now() - interval '90 s' WHERE job_id = 'c'")

    asyncio.run(filled())
    monkeypatch.setenv("JOBSD_DATABASE_URL", database_url)
    expected = "outbox     3 jobs that have not ended; 2 not in Redis yet, the oldest since 1m30s: its id is taken"
    assert told().splitlines()[5] == expected
    facts = json.loads(told("--json"))["outbox"]
    assert (facts["jobs"], facts["unpushed"], facts["problem"]) == (3, 2, "its id is taken")


def test_programs_are_told_the_same(monkeypatch, waiting) -> None:
    facts = json.loads(told("--json"))
    assert (facts["entries"], facts["limit_bytes"]) == (1, 1_000_000)
    assert 0 < facts["claims_percent"] < 100
    assert (facts["runs"], facts["rejected"]) == (None, None)
    assert "JOBSD_DATABASE_URL" in facts["ledger"]
