"""A page as its reader types it: every block runs, in its order, and the commands say what it shows."""

from __future__ import annotations

import contextlib
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60
SETTINGS = ("JOBSD_", "REDIS_", "DATABASE_", "COLUMNS")
_SERVERS = {"redis://:password@cache:6379/0"}  # the reader's own, for which the test's stand in
_NOT_RUN = {"pip", "make", "export", "uvicorn"}


class Block(NamedTuple):
    """``name`` is the file's, where the first line is a comment that gives one."""

    language: str
    source: str
    name: str | None


def blocks(page: str, *languages: str) -> Iterator[Block]:
    for language, source in re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        named = re.match(r"# ([\w.]+)\n", source)
        if language in languages:
            yield Block(language, source, named[1] if named else None)


def commands(console: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command with the lines that the block shows as its answer."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        yield command.partition("  #")[0].strip(), shown


class Session:
    """A folder with the page's files in it, and a shell there."""

    def __init__(self, page: str, folder: Path, redis_url: str, database_url: str) -> None:
        self._page = page
        self.folder = folder
        self.redis_url = redis_url
        self.started: list[subprocess.Popen[bytes]] = []
        self._env = {name: text for name, text in os.environ.items() if not name.startswith(SETTINGS)} | {
            "JOBSD_REDIS_URL": redis_url,
            "JOBSD_DATABASE_URL": database_url,
            "JOBSD_STATE": str(folder / "none"),
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
        }
        for block in blocks(page, "python", "toml"):
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
            timeout=PATIENCE_S,
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
                process.wait(PATIENCE_S)

    def walk(self) -> None:
        """Type all of the page, in its order; fails where an answer is not what is shown."""
        for block in blocks(self._page, "console", "python"):
            if block.language == "python":
                if block.name is None:
                    source = block.source
                    for server in _SERVERS:
                        source = source.replace(server, self.redis_url)
                    said = self.run(["-c", _FRAGMENT, source])
                    assert not said, f"the page's code says:\n{said}"
                continue
            for command, shown in commands(block.source):
                program, *arguments = shlex.split(command)
                if program in _NOT_RUN or arguments[:1] in (["dev"], ["run"], ["reload"]):
                    continue
                does = (["enqueue"], ["jobs", "retry"], ["queues", "limit"], ["cron", "trigger"])
                only_looks = program == "jobsd" and not any(arguments[: len(words)] == words for words in does)
                answer = answer_that_fits(self.type(command), shown, again=only_looks)
                assert answer is None, f"the page shows something else after `{command}`, which answers:\n{answer}"

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
                pytest.fail(f"the page types {command!r}, which no test runs")


# curl, as far as the pages use it, without a port that might be taken.
_CURL = textwrap.dedent("""
    import asyncio, sys, httpx, web

    async def main():
        _, method, url = sys.argv[1:]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(web.app), base_url="http://localhost") as client:
            print((await client.request(method, "/" + url.partition("/")[2])).raise_for_status().text)

    asyncio.run(main())
""")

# Top-level await, as in a page's fragments.
_FRAGMENT = textwrap.dedent("""
    import ast, asyncio, inspect, sys

    running = eval(compile(sys.argv[1], "page.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), {"__name__": "__main__"})
    if inspect.iscoroutine(running):
        asyncio.run(running)
""")


def plain(line: str) -> str:
    """Return the line without what differs from run to run."""
    line = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d)?", "<time>", line)
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d[+-]\d\d:\d\d", "<time>", line)
    line = re.sub(r"\b\d+[dhms]( \d+[dhms])?(?= |$)", "<while>", line)
    line = re.sub(r"\b[0-9a-hjkmnp-tv-z]{26}\b", "<id>", line)
    line = re.sub(r"\b\d+\.\d{3}\b", "<seconds>", line)
    line = re.sub(r"\b\d+ (MB|B)\b", "<memory>", line)
    line = re.sub(r"\b[0-9a-f]{16}\b", "<fingerprint>", line)
    line = re.sub(r"since \d\d:\d\d$", "since <time>", line)
    return " ".join(line.replace("─", "").split())


def fits(shown: list[str], answer: str) -> bool:
    """Whether ``answer`` is what is shown; a line of … stands for any lines."""
    pattern = "".join(r"(?:.*\n)*?" if line == "…" else re.escape(line) + r"\n" for line in map(plain, shown) if line)
    return bool(re.fullmatch(pattern, "".join(f"{line}\n" for line in map(plain, answer.splitlines()) if line)))


def answer_that_fits(ask: Callable[[], str], shown: list[str], *, again: bool) -> str | None:
    """Return None, or the answer that does not fit. What only looks is asked ``again``: a record takes a moment."""
    deadline = time.monotonic() + PATIENCE_S / 4
    while not fits(shown, answer := ask()):
        if not again or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)
    return None


@contextlib.contextmanager
def served(page: str, folder: Path, redis_url: str, database_url: str) -> Iterator[Session]:
    """A session beside a daemon; the page's jobsd.toml says which tasks. In the README it is `jobsd dev`."""
    opened = Session(page, folder, redis_url, database_url)
    try:
        daemon = opened.start("-m", "jobsd", "run")
        deadline = time.monotonic() + PATIENCE_S
        while "daemon.started" not in (folder / "log").read_text() and time.monotonic() < deadline:
            time.sleep(0.05)  # before that, a signal would only end it
        yield opened
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(PATIENCE_S) == 0, (folder / "log").read_text()
    finally:
        opened.close()
