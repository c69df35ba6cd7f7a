"""One daemon under the supervisor, from its start to its end, as the supervisor sees it.

The other end of its line, and what is said there, is in role.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.daemon import role, systemd
from jobsd.events import Event
from jobsd.logger import log

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence
    from pathlib import Path

# Past its grace it cancels, hands back and writes what is left; each of these has its own limit.
_MARGIN_S = 20.0
_REAPED_WITHIN_S = 10.0
_MOST_BYTES = 65_536
_MEANINGS = {0: "ended by itself", 2: "exit code 2, wrong configuration", 70: "exit code 70, its event loop stalled"}


class Child:
    """A process that runs a daemon. Its line is closed when it has ended."""

    def __init__(self, number: int, process: Process, line: socket.socket, *, held: bool) -> None:
        self.number = number
        self.pid = process.pid
        self.grace_s = 0.0
        self.failure = ""
        """Why it did not start, in its own words."""
        self.stays = False
        """When its jobs have ended it goes on recording, until ``leave``."""
        self.ended = asyncio.Event()
        self._began: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._started_at = monotonic()
        self._process = process
        self._line = line
        self._said = b""
        self._held = self._to_be_held = held
        self._stopping = False
        asyncio.get_running_loop().add_reader(line, self._heard)
        self._living = asyncio.create_task(self._live())

    @property
    def exit_code(self) -> int:
        """Its exit code, or the negative number of the signal that killed it; only of one that ended."""
        return self._process.returncode or 0

    @property
    def how(self) -> str:
        """How it ended, in words."""
        code = self.exit_code
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(-code).name}"
            return f"killed by signal {-code}"
        return _MEANINGS.get(code, f"exit code {code}")

    @property
    def lived_s(self) -> float:
        return round(monotonic() - self._started_at, 3)

    @property
    def ready(self) -> bool:
        return self._began.done() and self._began.result()

    async def begins(self, within_s: float | None = None) -> bool:
        """Wait until it takes jobs; False if it ends before, or is not ready in time."""
        await asyncio.wait({self._began}, timeout=within_s)
        return self.ready

    def hold(self, *, held: bool) -> None:
        """Let it take no jobs for now, or take them again; if it is starting, as soon as it hears signals."""
        self._to_be_held = held
        if self.ready and self._held != held:
            self._held = held
            self._signal(signal.SIGTSTP if held else signal.SIGCONT)

    def stop(self, *, stay: bool = False) -> None:
        """Let it end in order. Asked twice it still has its grace."""
        if self._stopping:
            return
        self._stopping = True
        self.stays = stay and self.ready
        self._say("stay" if self.stays else "leave")
        self._signal(signal.SIGTERM)

    def stop_at_once(self) -> None:
        """Let it end in order without its grace; it was asked to stop before."""
        self._signal(signal.SIGTERM)

    def leave(self) -> None:
        """Let it end its recording: the others have ended."""
        self.stays = False
        self._say("leave")

    async def end(self) -> None:
        """Wait until one that was stopped has ended; kill it when it is past its grace and all that follows."""
        limit_s = self.grace_s + _MARGIN_S
        if await self._ended_within(limit_s):
            return
        log.error(Event.DAEMON_KILLED, daemon=self.number, pid=self.pid, cause=f"it did not end within {limit_s:g} s")
        await self.kill()

    async def kill(self) -> None:
        """End it, whatever it does, and with it what its tasks have started in its group."""
        if not self.ended.is_set():
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        await self._ended_within(_REAPED_WITHIN_S)

    async def _ended_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        return self.ended.is_set()

    async def _live(self) -> None:
        await self._process.wait()
        self._heard()  # its last words
        asyncio.get_running_loop().remove_reader(self._line)
        self._line.close()
        self.ended.set()
        self._begin(ready=False)

    def _heard(self) -> None:
        try:
            got = self._line.recv(_MOST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            got = b""
        if not got:  # it has closed its end: it is about to end, or was left by a child of a child
            asyncio.get_running_loop().remove_reader(self._line)
        *lines, self._said = (self._said + got).split(b"\n")
        for line in lines:
            word, _, rest = line.decode(errors="replace").partition(" ")
            with contextlib.suppress(ValueError):  # what it garbles is no reason to fall
                if word == "ready":
                    self.grace_s = float(rest)
                    self._begin(ready=True)
                elif word == "failed":
                    self.failure = str(json.loads(rest))

    def _begin(self, *, ready: bool) -> None:
        if not self._began.done():
            self._began.set_result(ready)
            self.hold(held=self._to_be_held)

    def _say(self, word: str) -> None:
        with contextlib.suppress(OSError):  # it has ended
            self._line.send(f"{word}\n".encode())

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


async def start_child(number: int, command: Sequence[str], *, place: Path, held: bool) -> Child:
    """Start daemon ``number`` in the folder ``place``; it is not ready yet. Raises OSError.

    It leads a process group of its own, so that a terminal's Ctrl-C reaches the supervisor alone.
    """
    ours, theirs = socket.socketpair()
    try:
        ours.setblocking(False)
        environment = {name: value for name, value in os.environ.items() if name != systemd.VARIABLE}
        environment[role.VARIABLE] = role.Place(theirs.fileno(), number, held).to_text()
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env=environment,
            cwd=place,
            process_group=0,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Child(number, process, ours, held=held)
