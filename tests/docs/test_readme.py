"""The README as its reader types it: every block runs, in its order, and the commands say what it shows."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
_PATIENCE_S = 60
_SERVERS = {"redis://:password@cache:6379/0"}  # the reader's own, for which the test's stand in
_NOT_RUN = {"pip", "make", "export", "uvicorn"}
_SETTINGS = ("JOBSD_", "REDIS_", "DATABASE_")


class Block(NamedTuple):
    """``name`` is the file's, where the first line is a comment that gives one."""

    language: str
    source: str
    name: str | None


def blocks(*languages: str) -> Iterator[Block]:
    for language, source in re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        named = re.match(r"# ([\w.]+)\n", source)
        if language in languages:
            yield Block(language, source, named[1] if named else None)


def commands(console: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command with the lines that the block shows as its answer."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        yield command.partition("  #")[0].strip(), shown


class Session:
    """A folder with the README's files in it, and a shell there."""

    def __init__(self, folder: Path, redis_url: str, database_url: str) -> None:
        self.folder = folder
        self.redis_url = redis_url
        self.started: list[subprocess.Popen[bytes]] = []
        self._env = {name: text for name, text in os.environ.items() if not name.startswith(_SETTINGS)} | {
            "JOBSD_REDIS_URL": redis_url,
            "JOBSD_DATABASE_URL": database_url,
            "JOBSD_STATE": str(folder / "none"),
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
        }
        for block in blocks("python", "toml"):
            if block.name:
                (folder / block.name).write_text(block.source, "utf-8")
        self.migrated = self.run(["-m", "jobsd", "migrate"])

    def run(self, arguments: list[str]) -> str:
        """Return what Python with these arguments prints, on both streams."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        ).stdout

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, *arguments]
            process = subprocess.Popen(command, cwd=self.folder, env=self._env, stdout=log, stderr=log)
        self.started.append(process)
        return process

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait(_PATIENCE_S)

    def type(self, command: str) -> Callable[[], str]:
        """Return how to ask what ``command`` answers."""
        program, *arguments = shlex.split(command)
        match program:
            case "jobsd" if arguments == ["migrate"]:
                return lambda: self.migrated
            case "jobsd":
                return lambda: self.run(["-m", "jobsd", *arguments])
            case "python":
                return lambda: self.run(arguments)
            case "curl":
                return lambda: self.run(["-c", _CURL, *arguments])
            case _:
                pytest.fail(f"the README types {command!r}, which no test runs")


# curl, as far as the README uses it, without a port that might be taken.
_CURL = textwrap.dedent("""
    import asyncio, sys, httpx, web

    async def main():
        _, method, url = sys.argv[1:]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(web.app), base_url="http://localhost") as client:
            print((await client.request(method, "/" + url.partition("/")[2])).raise_for_status().text)

    asyncio.run(main())
""")

# Top-level await, as in the README's fragments.
_FRAGMENT = textwrap.dedent("""
    import ast, asyncio, inspect, sys

    running = eval(compile(sys.argv[1], "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), {"__name__": "__main__"})
    if inspect.iscoroutine(running):
        asyncio.run(running)
""")


def plain(line: str) -> str:
    """Return the line without what differs from run to run."""
    line = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d)?", "<time>", line)
    line = re.sub(r"\b[0-9a-hjkmnp-tv-z]{26}\b", "<id>", line)
    line = re.sub(r"\b\d+\.\d{3}\b", "<seconds>", line)
    return " ".join(line.replace("─", "").split())


def fits(shown: list[str], answer: str) -> bool:
    """Whether ``answer`` is what is shown; a line of … stands for any lines."""
    pattern = "".join(r"(?:.*\n)*?" if line == "…" else re.escape(line) + r"\n" for line in map(plain, shown) if line)
    return bool(re.fullmatch(pattern, "".join(f"{line}\n" for line in map(plain, answer.splitlines()) if line)))


def answer_that_fits(ask: Callable[[], str], shown: list[str], *, again: bool) -> str | None:
    """Return None, or the answer that does not fit. What only looks is asked ``again``: a record takes a moment."""
    deadline = time.monotonic() + _PATIENCE_S / 4
    while not fits(shown, answer := ask()):
        if not again or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)
    return None


@pytest.fixture
def session(tmp_path: Path, redis_url: str, database_url: str) -> Iterator[Session]:
    opened = Session(tmp_path, redis_url, database_url)
    try:
        # jobsd.toml of the README says which tasks; in the README it is `jobsd dev`, with servers of its own.
        daemon = opened.start("-m", "jobsd", "run")
        deadline = time.monotonic() + _PATIENCE_S
        while "daemon.started" not in (tmp_path / "log").read_text() and time.monotonic() < deadline:
            time.sleep(0.05)  # before that, a signal would only end it
        yield opened
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(_PATIENCE_S) == 0, (tmp_path / "log").read_text()
    finally:
        opened.close()


@pytest.mark.slow
def test_what_the_reader_types_answers_as_shown(session):
    for block in blocks("console", "python"):
        if block.language == "python":
            if block.name is None:
                source = block.source
                for server in _SERVERS:
                    source = source.replace(server, session.redis_url)
                assert session.run(["-c", _FRAGMENT, source]) == ""
            continue
        for command, shown in commands(block.source):
            program, *arguments = shlex.split(command)
            if program in _NOT_RUN or arguments[:1] in (["dev"], ["run"]):
                continue
            only_looks = program == "jobsd" and arguments[:1] != ["enqueue"] and arguments[:2] != ["jobs", "retry"]
            answer = answer_that_fits(session.type(command), shown, again=only_looks)
            assert answer is None, f"the README shows something else after `{command}`, which now answers:\n{answer}"


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
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            answer = await asyncio.to_thread(session.run, ["-m", "jobsd", "history", "--json"])
            runs = {run["job_id"]: (run["outcome"], run["transition"]) for run in json.loads(answer)}
            if runs.keys() >= set(ids.values()):
                break
    assert {said: runs[job_id] for said, job_id in ids.items()} == expected


@pytest.mark.slow
async def test_an_arq_client_is_served_by_the_arq_worker(session, redis_url):
    worker = session.start("arq_worker.py")
    pool = await create_pool(RedisSettings.from_dsn(redis_url))
    job = await pool.enqueue_job("shout", "hello")
    assert job is not None
    assert await job.result(timeout=_PATIENCE_S) == "HELLO"
    assert await job.status() is JobStatus.complete
    assert (await job.info()).function == "shout"
    await pool.aclose()
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, _PATIENCE_S) == 0


@pytest.mark.parametrize("block", [pytest.param(block, id=block.name) for block in blocks("toml")])
def test_settings_that_are_shown_are_valid(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(_SETTINGS)]:
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
