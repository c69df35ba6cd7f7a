"""The daemon: `jobsd run` as a process of its own, logging JSON into a file."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from demo import CHECKOUT, DemoError
from jobsd.embedded import launch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demo.ground import Ground

_START_WITHIN_S = 30.0
_STOP_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.02
_OTHERS_SETTINGS = ("JOBSD_", "REDIS_", "DATABASE_")
_TAIL_LINES = 8


class Daemon:
    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raise DemoError with the last lines of its log if it has ended."""
        if self._process.returncode is not None:
            tail = "\n".join(self._log.read_text("utf-8").splitlines()[-_TAIL_LINES:])
            raise DemoError(f"the daemon ended with exit code {self._process.returncode}; the end of its log:\n{tail}")

    async def started(self) -> None:
        try:
            async with asyncio.timeout(_START_WITHIN_S):
                while '"event": "daemon.started"' not in self._log.read_text("utf-8"):
                    self.check()
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            raise DemoError(f"the daemon did not start within {_START_WITHIN_S:g} s; see {self._log}") from None

    async def stop(self) -> None:
        """Ask it to end its jobs and go, as a supervisor would; insist when it does not."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def a_daemon(ground: Ground) -> AsyncIterator[Daemon]:
    """Start a daemon on these servers; it does not outlive the block."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith(_OTHERS_SETTINGS)}
    environment |= {
        "JOBSD_REDIS_URL": ground.redis_url,
        "JOBSD_DATABASE_URL": ground.database_url,
        "EXPORT_DIR": str(ground.exports),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH")))),
    }
    with ground.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *_tied_to_us(),
            *(sys.executable, "-m", "jobsd", "run", "--config", str(CHECKOUT / "demo" / "jobsd.toml")),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,  # Ctrl-C is for us alone: we stop it in order
        )
    daemon = Daemon(process, ground.log)
    try:
        yield daemon
    finally:
        await daemon.stop()


def _tied_to_us() -> tuple[str, ...]:
    """Return what to put before a command, so that the kernel ends it should we be killed; as embedded servers are.

    It also takes the command to /, away from the .env and the jobsd.toml of whoever tries the demo.
    """
    become = Path(launch.__file__).with_name("become.py")
    kill = launch.death_signal(signal.SIGKILL)
    return sys.executable, "-I", "-S", str(become), "-", "-", str(kill), str(os.getpid())
