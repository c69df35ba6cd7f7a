"""A closed terminal, which is a SIGHUP too: it ends what was started in it, and is no wish for a reload."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

_DAEMON = """
import asyncio, fcntl, os, pathlib, signal, sys, termios
from jobsd.daemon.signals import Signals
_, terminal, started = sys.argv
fcntl.ioctl(os.open(terminal, os.O_RDWR), termios.TIOCSCTTY, 0)
if started == "with nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

async def main():
    signals = Signals(lambda: pathlib.Path("reloads").touch())
    with signals:
        pathlib.Path("listens").touch()
        await signals.within(30)
        if signals.requested.is_set():
            pathlib.Path("ends").touch()

asyncio.run(main())
"""


@pytest.mark.parametrize(("started", "does"), [("as usual", "ends"), ("with nohup", "reloads")])
def test_a_closed_terminal_ends_a_daemon_unless_it_was_started_to_outlive_it(
    tmp_path: Path, started: str, does: str
) -> None:
    window, terminal = pty.openpty()
    program = [sys.executable, "-c", _DAEMON, os.ttyname(terminal), started]
    with subprocess.Popen(program, cwd=tmp_path, start_new_session=True) as daemon:
        wait(lambda: (tmp_path / "listens").exists() or daemon.poll() is not None)
        os.close(terminal)
        os.close(window)
        wait(lambda: (tmp_path / does).exists() or daemon.poll() is not None)
        assert {path.name for path in tmp_path.iterdir()} == {"listens", does}
        daemon.terminate()


def wait(happened: Callable[[], Any]) -> None:
    asyncio.run(until(happened))
