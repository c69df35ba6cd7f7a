"""Real servers in state directories of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis.asyncio

from jobsd.embedded import Embedded
from jobsd.embedded.locks import FileLock

A_DAEMON = Path(__file__).with_name("a_daemon.py")
NOBODY = 65534

Until = Callable[..., Awaitable[None]]


@contextlib.contextmanager
def an_open_directory() -> Iterator[Path]:
    """A directory that the servers' user can reach; pytest's own tmp_path is closed to it."""
    with tempfile.TemporaryDirectory(prefix="jobsd-test-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    with an_open_directory() as directory:
        yield directory


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOBSD_STATE", "JOBSD_VALKEY_SERVER", "JOBSD_PG_BINDIR", "JOBSD_EMBEDDED_USER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def state(open_directory: Path) -> Path:
    return open_directory / "state"


@pytest.fixture(scope="session")
def a_used_state() -> Iterator[Path]:
    """A state directory with its database made, to be lent: initdb takes longer than most tests."""

    async def use(state: Path) -> None:
        async with Embedded(state, fsync=False):
            pass

    with an_open_directory() as directory:
        asyncio.run(use(directory / "state"))
        yield directory / "state"


@pytest.fixture
def lend_used_state(
    a_used_state: Path, open_directory: Path, no_server_lives: Callable[[Path], bool]
) -> Iterator[Callable[[str], Path]]:
    """Move the used state directory to a name in ``open_directory``, and back."""
    lent: list[Path] = []

    def lend(name: str) -> Path:
        lent.append(a_used_state.rename(open_directory / name))
        return lent[-1]

    yield lend
    for place in lent:
        deadline = time.monotonic() + 15
        while not no_server_lives(place) and time.monotonic() < deadline:
            time.sleep(0.01)
        place.rename(a_used_state)


@pytest.fixture
def used_state(lend_used_state: Callable[[str], Path]) -> Path:
    """Return a state directory that has been used before, so that a start is quick."""
    return lend_used_state("state")


@pytest.fixture
async def embed() -> AsyncIterator[Callable[..., Embedded]]:
    """Make instances that are stopped after the test, those attached before their owner."""
    made: list[Embedded] = []

    def make(state: Path, **options: bool) -> Embedded:
        made.append(Embedded(state, **options))
        return made[-1]

    yield make
    for embedded in reversed(made):
        await embedded.stop()


class DaemonProcess:
    """``a_daemon.py`` in a process of its own."""

    def __init__(self, *options: str, argv: tuple[str, ...] = (sys.executable,), **how: Any) -> None:
        self.process = subprocess.Popen(
            [*argv, str(A_DAEMON), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **how
        )

    async def ready(self) -> dict[str, Any]:
        """Return what it says about itself once its servers answer."""
        assert self.process.stdout
        line = await asyncio.to_thread(self.process.stdout.readline)
        assert line, f"it ended with {self.process.wait()}"
        return json.loads(line)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Let it stop its servers; its exit code."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        code = self.process.wait(timeout=30)
        assert self.process.stdout
        self.process.stdout.close()
        return code


@pytest.fixture
def run_daemon() -> Iterator[Callable[..., DaemonProcess]]:
    running: list[DaemonProcess] = []

    def run(*options: str, **how: Any) -> DaemonProcess:
        running.append(DaemonProcess(*options, **how))
        return running[-1]

    yield run
    for daemon in running:
        daemon.stop()


@pytest.fixture
def until() -> Until:
    async def until(condition: Callable[[], bool], *, within_s: float = 15) -> None:
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.01)

    return until


@pytest.fixture
def no_server_lives() -> Callable[[Path], bool]:
    """Whether nobody holds the lock that every server inherits: what the pids say may be about zombies."""

    def no_server_lives(state: Path) -> bool:
        lock = FileLock(state / "alive.lock")
        free = lock.acquire()
        lock.release()
        return free

    return no_server_lives


@pytest.fixture
def a_stranger() -> Iterator[int]:
    """The pid of a process of the servers' user that is none of ours."""
    how: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    with subprocess.Popen(["/bin/sleep", "120"], **how) as process:
        yield process.pid
        process.send_signal(signal.SIGKILL)


class Valkey:
    """A client that opens and closes a connection for each command."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self, *command: str) -> Any:
        client = redis.asyncio.Redis.from_url(self._url, decode_responses=True)
        try:
            return await client.execute_command(*command)
        finally:
            await client.aclose()


class Postgres:
    """A client that opens and closes a connection for each query."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self, query: str) -> Any:
        connection = await asyncpg.connect(self._url, timeout=10)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()


@pytest.fixture
def valkey() -> type[Valkey]:
    return Valkey


@pytest.fixture
def postgres() -> type[Postgres]:
    return Postgres
