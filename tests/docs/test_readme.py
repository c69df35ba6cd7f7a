"""The README: what its reader types runs, and what it says of numbers, options and promises is so."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest
from arq.connections import RedisSettings, create_pool
from arq.jobs import JobStatus

from jobsd import Client, JobsdError, task
from jobsd.daemon.settings import load_settings
from jobsd.delays import DEFAULT, exponential
from jobsd.duration import format_duration
from jobsd.engine.leases import STALLED_EXIT_CODE
from jobsd.engine.options import WorkerOptions
from jobsd.job import OPTION_NAMES
from jobsd.store.codec import PAYLOAD_LIMIT_BYTES
from tests.docs.pages import PATIENCE_S, ROOT, SETTINGS, Session, blocks, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture
def session(tmp_path: Path, redis_url: str, database_url: str) -> Iterator[Session]:
    with served(README, tmp_path, redis_url, database_url) as opened:
        yield opened


@pytest.mark.slow
def test_what_the_reader_types_answers_as_shown(session):
    session.walk()


@pytest.mark.slow
async def test_a_task_that_raises_to_steer_gets_what_the_comments_say(session):
    expected = {
        "busy": ("failed", "retry"),
        "not due yet": ("snoozed", "scheduled"),
        "card stolen": ("failed", "archived"),
        "order cancelled": ("dropped", "removed"),
        "paid": ("succeeded", "completed"),
    }
    async with Client(session.redis_url) as client:
        ids = {said: (await client.enqueue("payment:collect", 7, said)).id for said in expected}
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await asyncio.to_thread(session.run, ["-m", "jobsd", "history", "--json"])
            runs = {run["job_id"]: (run["outcome"], run["transition"]) for run in json.loads(answer)["executions"]}
            if runs.keys() >= set(ids.values()):
                break
    assert {said: runs[job_id] for said, job_id in ids.items()} == expected


@pytest.mark.slow
async def test_an_arq_client_is_served_by_the_arq_worker(session, redis_url):
    worker = session.start("arq_worker.py")
    pool = await create_pool(RedisSettings.from_dsn(redis_url))
    job = await pool.enqueue_job("shout", "hello")
    assert job is not None
    assert await job.result(timeout=PATIENCE_S) == "HELLO"
    assert await job.status() is JobStatus.complete
    assert (await job.info()).function == "shout"
    await pool.aclose()
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, PATIENCE_S) == 0


@pytest.mark.parametrize("block", [pytest.param(block, id=block.name) for block in blocks(README, "toml")])
def test_settings_that_are_shown_are_valid(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(SETTINGS)]:
        monkeypatch.delenv(name)
    file = tmp_path / (block.name or "jobsd.toml")
    file.write_text(block.source, "utf-8")
    assert load_settings(file).file == file


def rows_of(table_head: str) -> list[list[str]]:
    """Return the cells of the table that begins with this head, row by row."""
    _, _, after = README.partition(table_head)
    rows = after.partition("\n\n")[0].strip().splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_options_in_the_table_are_those_of_a_task_and_of_a_call():
    rows = rows_of("| option | of the task | of a call | unless given |")
    curves = {"exponential", "fixed", "linear"}
    of_task = {name for cell, yes, *_ in rows if yes for name in re.findall(r"`(\w+)`", cell)} - curves
    of_call = {name for cell, _, yes, *_ in rows if yes for name in re.findall(r"`(\w+)`", cell)} - curves
    assert of_call == set(OPTION_NAMES)
    assert of_task == set(inspect.signature(task).parameters) - {"name"}


def test_every_promise_names_tests_that_exist():
    rows = rows_of("| promise | holds as long as | how |")
    assert len(rows) > 5
    for promise, _, how in rows:
        files = re.findall(r"\[tests\]\(([^)]+)\)", how)
        assert files, promise
        for file in files:
            assert re.search(r"^(async )?def test_", (ROOT / file).read_text("utf-8"), re.MULTILINE), file


def test_numbers_in_the_text_are_the_defaults():
    options = WorkerOptions()
    lease, grace = options.lease.total_seconds(), options.grace.total_seconds()
    assert exponential("10s", factor=4, cap="1h") == DEFAULT
    for said in (
        f"| `timeout`: longest run of one attempt | yes | yes | `{format_duration(options.timeout)}` |",
        f"| yes | yes | {options.retries} |",
        '`exponential("10s", factor=4, cap="1h")`, with full jitter',
        f"within the lease and 2 s, {lease + 2:g} s unless set otherwise",
        f"at least once in a lease, {lease:g} s.",
        f"end within `grace` ({grace:g} s)",
        f"The process gets `grace`, and {options.cancel_grace.total_seconds():g} s more",
        {3: "the third such loss archives a job"}[options.max_losses],
        f"{PAYLOAD_LIMIT_BYTES // 1024**2} MiB at most",
        f"at most {options.keep_completed_count:,} of",
        f"exit code {STALLED_EXIT_CODE}",
        {"5m": "Five minutes past the limit"}[format_duration(options.max_stall)],
        {"1h": "kept for an hour"}[format_duration(options.keep_completed)],
        f"come back after {lease:g} s rather than",
    ):
        assert said in README


def test_exit_codes_are_those_of_the_errors():
    def below(error: type[JobsdError]) -> Iterator[type[JobsdError]]:
        yield error
        for kind in error.__subclasses__():
            yield from below(kind)

    said = {int(number) for number in re.findall(r"\b(\d) (?:fine|the asked-for|wrong|a server)", README)}
    assert said - {0} == {error.exit_code for error in below(JobsdError)}
