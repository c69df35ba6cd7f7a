"""One process: its user, its log, its environment, and its tie to the life of this one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.errors import EmbeddedError

if TYPE_CHECKING:
    import signal

    from jobsd.embedded.account import Account
    from jobsd.embedded.locks import FileLock

_BECOME = Path(__file__).with_name("become.py")
_POLL_S = 0.01
_LONGEST_LOG_BYTES = 10_000_000
_TAIL_LINES = 15


@dataclass(frozen=True)
class Launched:
    """A process, and the part of its log that is its own."""

    process: subprocess.Popen[bytes]
    log: Path
    log_begins: int

    def tail(self) -> str:
        """Return the last lines that the process has logged, indented for a message."""
        with self.log.open("rb") as log:
            log.seek(self.log_begins)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"  {line.rstrip()}" for line in lines[-_TAIL_LINES:]) or "  (nothing)"


@dataclass(frozen=True)
class Launcher:
    account: Account
    log_directory: Path
    alive: FileLock  # inherited by every process, so that it is held while one of them lives

    def launch(
        self, name: str, argv: list[str], *, on_parent_death: signal.Signals, stdin: int = subprocess.DEVNULL
    ) -> Launched:
        """Start ``argv`` with its output in ``name``.log. Blocks for the milliseconds of a fork."""
        if threading.current_thread() is not threading.main_thread():
            # The kernel's death signal follows the thread that has spawned, not the process.
            raise EmbeddedError("embedded servers can only be started from the main thread")
        path = self.log_directory / f"{name}.log"
        _set_aside_if_long(path)
        # A file, because a pipe that nobody reads would block the server one day.
        with path.open("ab") as log:
            log_begins = log.tell()  # before the child shares the file's position
            process = subprocess.Popen(  # noqa: S603 - the program is ours, and no shell is involved
                [sys.executable, "-I", "-S", str(_BECOME), *self._becoming(on_parent_death), *argv],
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
                pass_fds=(self.alive.fd,),
                # Ctrl-C goes to the whole foreground group; the servers must outlive the daemon's draining.
                start_new_session=True,
            )
            return Launched(process, path, log_begins)

    def _becoming(self, on_parent_death: signal.Signals) -> tuple[str, str, str, str]:
        uid, gid = (str(self.account.uid), str(self.account.gid)) if self.account.dropped else ("-", "-")
        return uid, gid, str(death_signal(on_parent_death)), str(os.getpid())


def death_signal(wanted: signal.Signals) -> int:
    """Return the signal to ask the kernel for when this process dies; 0 where it sends none (see orphans.py)."""
    return int(wanted) if sys.platform == "linux" else 0


async def ended(process: subprocess.Popen[bytes], *, within_s: float) -> bool:
    """Wait for the end of ``process``; whether it came in time."""
    deadline = monotonic() + within_s
    while process.poll() is None:
        if monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


def _environment() -> dict[str, str]:
    """Return all that the servers get to know.

    Not the daemon's secrets, which another process of ``nobody`` could read; not the user's PG* and LC_*, which
    would change what the servers do. On macOS Postgres needs LC_ALL to stay single-threaded.
    """
    passed_on = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return passed_on | {"LC_ALL": "C", "TZ": "UTC"}


def _set_aside_if_long(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LONGEST_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
