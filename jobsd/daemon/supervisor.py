"""Several daemons under one supervisor: it starts them, keeps them alive, replaces them and ends them.

    supervisor.py         the whole; read this first
    supervisor_slot.py    the place of one daemon: restarted when it has ended
    supervisor_child.py   one daemon's process, from start to end
    supervisor_reload.py  one after another, new code for old
    supervisor_file.py    how `jobsd reload` finds us
    role.py               the same from the daemon's side; what is said between the two

The supervisor imports no tasks and has no connection to any server: what they do cannot hurt it. Daemon 1 alone
carries the records of all to the ledger, and so ends last.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.daemon import systemd
from jobsd.daemon.signals import Signals
from jobsd.daemon.supervisor_child import Child, start_child
from jobsd.daemon.supervisor_file import SupervisorFile
from jobsd.daemon.supervisor_reload import Reloader
from jobsd.daemon.supervisor_slot import Slot
from jobsd.events import Event
from jobsd.logger import log

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence


async def supervise(processes: int, arguments: Sequence[str], *, state: Path) -> int:
    """Run ``processes`` daemons until SIGTERM or SIGINT; return the exit code.

    ``arguments`` are those of the command that started us, which the daemons get again. 0 is an orderly stop. Any
    other is that of the first daemon, which would not start; it has said why.
    """
    with SupervisorFile(state, processes=processes) as file:
        return await Supervisor(processes, [*_this_program(), *arguments], _here(), file).run()


class Supervisor:
    """Ends only when it is told to, or when its first daemon refuses to start."""

    def __init__(self, processes: int, command: Sequence[str], place: Path, file: SupervisorFile) -> None:
        self._command = command
        self._place = place
        self._children: set[Child] = set()
        """All that live, also those that a reload starts or ends."""
        self._slots = [Slot(number, self._start) for number in range(1, processes + 1)]
        self._reloader = Reloader(self._slots, self._start, file)
        self._running: list[asyncio.Task[None]] = []
        self._held = False
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        began_at = monotonic()
        signals = Signals(self._reloader.ask)
        with signals:
            signals.command(self)
            log.info(Event.SUPERVISOR_STARTED, pid=os.getpid(), processes=len(self._slots))
            try:
                code = await self._first_began()
                if code == 0 and not self._stopping.is_set():
                    await self._others_began()
                    self._say_ready(began_at)
                    await self._stopping.wait()
            finally:
                if not self._stopping.is_set():
                    self.stop()
                await self._end()
        if code == 0:
            log.info(Event.SUPERVISOR_STOPPED)
        return code

    # --- what we are told ---------------------------------------------------------------------------

    def stop(self) -> None:
        """End all daemons in order; when asked again, without their grace."""
        again = self._stopping.is_set()
        self._stopping.set()
        systemd.stopping()
        for service in (*self._slots, self._reloader):
            service.stop()
        for child in self._children:
            if again:
                child.stop_at_once()
            else:
                child.stop(stay=child.number == 1)

    def hold(self) -> None:
        self._hold(held=True)

    def resume(self) -> None:
        self._hold(held=False)

    def _hold(self, *, held: bool) -> None:
        self._held = held
        for child in self._children:
            child.hold(held=held)

    # --- starting -----------------------------------------------------------------------------------

    async def _start(self, number: int) -> Child:
        child = await start_child(number, self._command, place=self._place, held=self._held)
        self._children.add(child)
        self._run(self._forget(child))
        child.hold(held=self._held)
        if self._stopping.is_set():
            child.stop()
        return child

    async def _forget(self, child: Child) -> None:
        await child.ended.wait()
        self._children.discard(child)

    def _run(self, work: Coroutine[None, None, None]) -> None:
        self._running = [task for task in self._running if not task.done()]
        self._running.append(asyncio.create_task(work))

    async def _first_began(self) -> int:
        """Start the first alone: what is wrong with the settings is then said once."""
        first = self._slots[0]
        self._run(first.run())
        return await first.began

    async def _others_began(self) -> None:
        self._run(self._reloader.run())
        for slot in self._slots[1:]:
            self._run(slot.run())
        for slot in self._slots:
            await slot.began

    def _say_ready(self, began_at: float) -> None:
        if not self._stopping.is_set():
            log.info(Event.DAEMON_READY, processes=len(self._slots), took_s=round(monotonic() - began_at, 3))
            systemd.ready()

    # --- ending -------------------------------------------------------------------------------------

    async def _end(self) -> None:
        """Wait for the daemons. Who carries the records for all waits for the others, and is waited for then."""
        while self._children:
            await asyncio.gather(*(child.end() for child in self._children if not child.stays))
            for child in self._children:
                child.leave()
        await asyncio.gather(*self._running)


def _this_program() -> list[str]:
    """Return how to start this program again. -P: not with modules of this folder in the place of ours."""
    by_module = getattr(sys.modules["__main__"], "__spec__", None) is not None
    return [sys.executable, *(() if by_module else ("-P",)), "-m", "jobsd"]


def _here() -> Path:
    """Return the working directory by the name that the shell has for it.

    Behind a link such as /srv/shop/current it is the new release by the time of a reload.
    """
    named = Path(os.environ.get("PWD", ""))
    return named if named.is_absolute() and named.is_dir() and named.samefile(Path.cwd()) else Path.cwd()
