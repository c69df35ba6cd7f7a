"""What the daemon does when it is told something from outside.

TERM, INT   take no more jobs, let those that run end within the grace; again: end at once
TSTP        take no more jobs for now
CONT        take jobs again
"""

from __future__ import annotations

import asyncio
import signal
from typing import Protocol


class Worker(Protocol):
    def stop(self) -> None: ...
    def hold(self) -> None: ...
    def resume(self) -> None: ...


class Signals:
    """Hears signals from its ``with`` on, also before there is a worker to tell them to."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        """The daemon was told to stop."""
        self._worker: Worker | None = None

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

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGTSTP, self._hold)
        loop.add_signal_handler(signal.SIGCONT, self._resume)

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTSTP, signal.SIGCONT):
            loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.requested.set()
        if self._worker is not None:
            self._worker.stop()

    def _hold(self) -> None:
        if self._worker is not None:
            self._worker.hold()

    def _resume(self) -> None:
        if self._worker is not None:
            self._worker.resume()
