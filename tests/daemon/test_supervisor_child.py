"""One daemon as its supervisor sees it; the daemon is played by a few lines of Python."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from jobsd.daemon import supervisor_child
from jobsd.daemon.supervisor_child import Child, start_child

if TYPE_CHECKING:
    from pathlib import Path

_LINE = """
import os, signal, socket, time
line = socket.socket(fileno=int(os.environ["JOBSD_SUPERVISED"].split(":")[0]))
"""


async def played(place: Path, code: str, number: int = 1) -> Child:
    return await start_child(number, [sys.executable, "-c", _LINE + code], place=place, held=False)


async def test_a_daemon_that_does_not_end_within_its_grace_is_killed_and_that_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor_child, "_MARGIN_S", 0.1)
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN); line.send(b'ready 0.2\\n'); time.sleep(3600)"
    child = await played(tmp_path, stubborn, number=3)
    assert await child.begins(30)
    child.stop()
    await child.end()
    assert child.ended.is_set()
    assert child.how == "killed by SIGKILL"
    [line] = [record for record in caplog.records if record.getMessage() == "daemon.killed"]
    assert (line.daemon, line.cause) == (3, "it did not end within 0.3 s")


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("", "ended by itself"),
        ("raise SystemExit(2)", "exit code 2, wrong configuration"),
        ("raise SystemExit(70)", "exit code 70, its event loop stalled"),
        ("raise SystemExit(5)", "exit code 5"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
    ],
)
async def test_how_it_ended_is_told_in_words(tmp_path: Path, code: str, how: str) -> None:
    child = await played(tmp_path, code)
    assert not await child.begins(30)
    assert child.how == how
    await child.end()


async def test_what_a_daemon_says_of_its_failure_is_kept_and_what_it_garbles_is_left(tmp_path: Path) -> None:
    child = await played(
        tmp_path, """line.send(b'ready soon\\nfailed {\\n\\xff\\nfailed "no '); line.send(b'tasks"\\n')"""
    )
    assert not await child.begins(30)
    assert child.failure == "no tasks"
    await child.end()


async def test_a_program_that_does_not_exist_leaves_no_line_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208 - only counted
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        await start_child(1, ["/nothing-here"], place=tmp_path, held=False)
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208
