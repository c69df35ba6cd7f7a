"""The place of one daemon under the supervisor; the daemon is played by a few lines of Python."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from jobsd.daemon.supervisor_child import Child, start_child
from jobsd.daemon.supervisor_slot import Slot
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

_READY = """
import os, socket, time
socket.socket(fileno=int(os.environ["JOBSD_SUPERVISED"].split(":")[0])).send(b"ready 0\\n")
time.sleep(3600)
"""


async def test_a_daemon_that_cannot_be_started_is_tried_again_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failures = 3

    async def start(number: int) -> Child:
        nonlocal failures
        if failures:
            failures -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return await start_child(number, [sys.executable, "-c", _READY], place=tmp_path, held=False)

    slot = Slot(2, start)
    running = asyncio.create_task(slot.run())
    assert await slot.began == 0
    await _end(slot, running)
    [line] = [record for record in caplog.records if record.getMessage() == "service.failed"]
    assert (line.service, line.cause) == ("daemon 2", "[Errno 11] Resource temporarily unavailable")


@pytest.mark.parametrize(("number", "ends"), [(1, True), (2, False)])
async def test_only_the_first_daemon_may_refuse_to_start_at_all(tmp_path: Path, number: int, *, ends: bool) -> None:
    starts = 0

    async def start(number: int) -> Child:
        nonlocal starts
        starts += 1
        code = _READY if starts > 2 else "raise SystemExit(2)"
        return await start_child(number, [sys.executable, "-c", code], place=tmp_path, held=False)

    slot = Slot(number, start)
    running = asyncio.create_task(slot.run())
    assert await slot.began == (2 if ends else 0)
    assert starts == (1 if ends else 3)
    await _end(slot, running)


async def test_when_a_reload_has_put_another_in_that_one_is_kept_running_and_the_old_one_may_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def start(number: int) -> Child:
        return await start_child(number, [sys.executable, "-c", _READY], place=tmp_path, held=False)

    slot = Slot(1, start)
    running = asyncio.create_task(slot.run())
    await slot.began
    new = await start(1)
    old = await slot.put(new)
    assert old is not None
    await old.kill()
    os.kill(new.pid, signal.SIGKILL)
    await until(lambda: slot.child not in {None, new})
    assert [(line.pid, line.how) for line in caplog.records if line.getMessage() == "daemon.died"] == [
        (new.pid, "killed by SIGKILL")
    ], "the old one was to end"
    await _end(slot, running)


async def _end(slot: Slot, running: asyncio.Task[None]) -> None:
    slot.stop()
    if slot.child is not None:
        await slot.child.kill()
    async with asyncio.timeout(20):
        await running
