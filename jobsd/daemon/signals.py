"""What the process does when it is told something from outside.

TERM, INT   take no more jobs, let those that run end within the grace; again: end at once
TSTP        take no more jobs for now
CONT        take jobs again
HUP         run the code that is there now; but where its terminal was closed, the same as TERM
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Worker(Protocol):
    def stop(self) -> None: ...
    def hold(self) -> None: ...
    def resume(self) -> None: ...


class Signals:
    """Hears signals from its ``with`` on, also before there is a worker to tell them to."""

    def __init__(self, reload: Callable[[], None]) -> None:
        self.requested = asyncio.Event()
        """The daemon was told to stop."""
        self._worker: Worker | None = None
        self._reload = reload
        # Whoever started it with nohup wants it to outlive the terminal.
        self._has_terminal = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN and _terminal_is_there()

    def command(self, worker: Worker) -> None:
        self._worker = worker
        if self.requested.is_set():
            worker.stop()

    async def within(self, seconds: float) -> None:
        """Return when the daemon is told to stop, or after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self.requested.wait()
        except TimeoutError:
            return

    async def unless_stopped(self, starting: Coroutine[Any, Any, None]) -> None:
        """Wait for it, but not beyond being told to stop: it is cancelled then."""
        started, stop = asyncio.ensure_future(starting), asyncio.ensure_future(self.requested.wait())
        try:
            await asyncio.wait({started, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            started.cancel()
        await asyncio.gather(stop, return_exceptions=True)
        with contextlib.suppress(asyncio.CancelledError):
            await started

    def stop(self) -> None:
        """Do what TERM does."""
        self.requested.set()
        if self._worker is not None:
            self._worker.stop()

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number, heard in self._hearers().items():
            loop.add_signal_handler(number, heard)

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in self._hearers():
            loop.remove_signal_handler(number)

    def _hearers(self) -> dict[signal.Signals, Callable[[], None]]:
        return {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self.stop,
            signal.SIGTSTP: self._hold,
            signal.SIGCONT: self._resume,
            signal.SIGHUP: self._hung_up,
        }

    def _hold(self) -> None:
        if self._worker is not None:
            self._worker.hold()

    def _resume(self) -> None:
        if self._worker is not None:
            self._worker.resume()

    def _hung_up(self) -> None:
        if self._has_terminal and not _terminal_is_there():
            self.stop()
        else:
            self._reload()


def _terminal_is_there() -> bool:
    """Whether the process has a controlling terminal; none is left when its window was closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
