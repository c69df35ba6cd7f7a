"""A real daemon as a child process, driven from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
_PATIENCE_S = 60


class Daemon:
    """``jobsd run`` in a process of its own; its log is read as it comes."""

    def __init__(self, *args: str, env: dict[str, str], cwd: Path) -> None:
        keep = {
            name: value for name, value in os.environ.items() if not name.startswith(("JOBSD_", "REDIS_", "DATABASE_"))
        }
        self.lines: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jobsd", *args],
            env=keep | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE)))} | env,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(pipe,), daemon=True)
            for pipe in (self.process.stderr, self.process.stdout)
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: Any) -> None:
        for line in pipe:
            with self._news:
                self.raw.append(line.rstrip("\n"))
                with contextlib.suppress(ValueError):
                    self.lines.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, event: str, **facts: Any) -> dict[str, Any]:
        """Return the first log line of ``event`` with these facts; fails if the daemon ends before it comes."""

        def found() -> dict[str, Any] | None:
            for line in self.lines:
                if line["event"] == event and all(line.get(name) == value for name, value in facts.items()):
                    return line
            return None

        with self._news:
            ended = self._news.wait_for(lambda: found() or self.process.poll() is not None, timeout=_PATIENCE_S)
            line = found()
        assert line is not None, f"no {event} (ended: {ended}) in:\n" + "\n".join(self.raw[-40:])
        return line

    def count(self, event: str) -> int:
        return sum(line["event"] == event for line in self.lines)

    def terminate(self) -> int:
        """Ask it to stop and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        code = self.process.wait(_PATIENCE_S)
        for reader in self._readers:
            reader.join(_PATIENCE_S)
        return code

    def close(self) -> None:
        if self.process.poll() is None and "--processes" in self.process.args:
            # Killed, it would leave daemons behind that first wait for their jobs.
            for patience_s in (0.1, 10):  # two signals at once might be heard as one
                self.process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(patience_s)
        if self.process.poll() is None:
            self.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def daemon(redis_url: str, tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Return a function that starts daemons with the tasks of acceptance_tasks.py."""
    started: list[Daemon] = []

    def start(*args: str, **env: str) -> Daemon:
        given = {"JOBSD_REDIS_URL": redis_url, "JOBSD_TASKS": "acceptance_tasks", "JOBSD_LOG__LEVEL": "DEBUG"} | env
        one = Daemon(*(args or ("run",)), env={name: value for name, value in given.items() if value}, cwd=tmp_path)
        started.append(one)
        return one

    yield start
    for one in started:
        one.close()
