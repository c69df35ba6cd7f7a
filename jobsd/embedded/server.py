"""What both servers share: launch, readiness, and a stop that gets firmer."""

from __future__ import annotations

import asyncio
import signal
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from jobsd.clock import monotonic
from jobsd.embedded.launch import Launched, Launcher, ended
from jobsd.embedded.versions import Version, version_of
from jobsd.errors import EmbeddedError

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.embedded.places import Places

_POLL_S = 0.01


class Server(ABC):
    name: ClassVar[str]
    # Signals with the seconds that each is given; the first is also what the kernel sends when the owner dies.
    stop_steps: ClassVar[tuple[tuple[signal.Signals, float], ...]]
    # Recovery after a crash is part of a start, and may have a lot to read.
    ready_within_s: ClassVar[float]

    def __init__(self, program: Path, places: Places, launcher: Launcher, *, fsync: bool) -> None:
        self._program = program
        self._places = places
        self._launcher = launcher
        self._fsync = fsync
        self._launched: Launched | None = None
        self.version: Version | None = None

    @property
    @abstractmethod
    def pid_file(self) -> Path: ...

    @abstractmethod
    def argv(self) -> list[str]: ...

    @abstractmethod
    async def prepare(self, version: Version) -> None:
        """Make the data fit to be served by ``version``, or raise EmbeddedError."""

    @abstractmethod
    async def answers(self) -> bool: ...

    def advice(self, log_tail: str) -> str:
        """Return what to do about a start that failed with these last words."""
        del log_tail
        return "read the log; to start afresh move the state directory aside, or choose another (JOBSD_STATE)"

    @property
    def pid(self) -> int | None:
        return self._launched.process.pid if self._launched else None

    @property
    def alive(self) -> bool:
        return self._launched is not None and self._launched.process.poll() is None

    @property
    def ending(self) -> str:
        """How the process ended, for a message."""
        code = self._launched.process.poll() if self._launched else None
        if code is None:
            return "no end"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    async def start(self) -> None:
        self.version = await version_of(self._program)
        await self.prepare(self.version)
        self.launch()
        await self.ready()

    def launch(self) -> None:
        death, _ = self.stop_steps[0]
        self._launched = self._launcher.launch(self.name.lower(), self.argv(), on_parent_death=death)

    async def ready(self) -> None:
        """Wait until the server answers. Raises EmbeddedError when it ends before, or takes too long."""
        deadline = monotonic() + self.ready_within_s
        while not await self.answers():
            if not self.alive:
                raise self._failed(f"ended with {self.ending}")
            if monotonic() > deadline:
                raise self._failed(f"does not answer after {self.ready_within_s:.0f} s")
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        if self._launched is None:
            return
        process = self._launched.process
        for step, within_s in self.stop_steps:
            process.send_signal(step)
            if await ended(process, within_s=within_s):
                return

    def _failed(self, what: str) -> EmbeddedError:
        if self._launched is None:
            return EmbeddedError(f"{self.name} was not launched")
        tail = self._launched.tail()
        return EmbeddedError(
            f"{self.name} did not start: it {what}.\n"
            f"The end of {self._launched.log}:\n{tail}\n"
            f"What to do: {self.advice(tail)}."
        )
