"""Tables in a narrow terminal: they leave out what matters least, and never what a line is about."""

from __future__ import annotations

import asyncio

import pytest
from typer.testing import CliRunner

from jobsd.cli import app
from jobsd.client import Client
from tests.cli.test_history import FAILED, fill
from tests.records.ledger import a_record

WORDS = {
    "history": (["history"], ["at", "task", "outcome", "message"], "email:send"),
    "sums": (["history", "stats", "--since", "2020-01-01T00:00:00Z"], ["task", "runs"], "email:send"),
    "errors": (["history", "errors", "--since", "2020-01-01T00:00:00Z"], ["fingerprint"], "email:send"),
}


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
@pytest.mark.parametrize("words", WORDS)
async def test_what_the_ledger_says_fits(monkeypatch, tmp_path, ledger_url, words, columns):
    asked, heads, known = WORDS[words]
    await fill(ledger_url, a_record(job_id="j" * 60, **FAILED))
    shown = await lines_of(monkeypatch, tmp_path, columns, asked, JOBSD_DATABASE_URL=ledger_url)
    assert columns > 60 or shown[0].split()[: len(heads)] == heads
    assert any(known in line for line in shown) or words == "errors"


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
async def test_queues_fit_and_have_their_names(monkeypatch, tmp_path, redis_url, columns):
    async with Client(redis_url) as client:
        for queue in ("default", "reports-of-the-month"):
            await client.enqueue("email:send", _queue=queue)
    shown = await lines_of(monkeypatch, tmp_path, columns, ["queues"], JOBSD_REDIS_URL=redis_url)
    assert [line.split()[0] for line in shown] == [
        "queue",
        "─" * len(shown[1].strip()),
        "default",
        "reports-of-the-month",
    ]
    assert "latency" in shown[0]


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
async def test_jobs_fit_and_have_their_ids(monkeypatch, tmp_path, redis_url, columns):
    async with Client(redis_url) as client:
        ref = await client.enqueue("email:send")
    shown = await lines_of(monkeypatch, tmp_path, columns, ["jobs", "ls"], JOBSD_REDIS_URL=redis_url)
    assert shown[2].split()[0] == ref.id


async def lines_of(monkeypatch, folder, columns, words, **addresses):
    """Return what a command shows in a terminal of so many columns, without empty lines."""
    monkeypatch.chdir(folder)
    for name, value in {"COLUMNS": str(columns), "JOBSD_REDIS_URL": "unix:///nowhere", **addresses}.items():
        monkeypatch.setenv(name, value)
    result = await asyncio.to_thread(CliRunner().invoke, app, words, catch_exceptions=False)
    lines = [line.rstrip() for line in result.output.splitlines() if line.strip()]
    assert max(map(len, lines)) <= columns
    return lines
