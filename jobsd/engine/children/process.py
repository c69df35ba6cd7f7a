"""One child process, from the outside: started, handed jobs, killed, buried."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd.engine.children import messages
from jobsd.engine.children.memory import peak_of
from jobsd.events import Event
from jobsd.logger import log
from jobsd.outcome import Died
from jobsd.size import format_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobsd.outcome import Outcome

ENDED_AT_ONCE = "each that was started ended before it had the job"
_STARTED_WITHIN_S = 60.0
_BURIED_WITHIN_S = 5.0
_LAST_WORDS_S = 0.2


class ChildSetup(NamedTuple):
    """``command`` is the program, to which the number of a socket is added; ``facts`` the first that it is told."""

    command: Sequence[str]
    facts: Mapping[str, Any]


class ChildError(Exception):
    """A child could not be started."""


class UnbegunError(Exception):
    """A child was dead before it took the job: nothing of it has run there."""


class _Run:
    """A job that was handed over."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.begun = False


class Child:
    """A process that runs jobs. Its whole process group is killed with it: what a task starts ends too."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._inherited_peak = 0
        self.first_peak = 0
        self.peak = 0
        """The most memory that it ever had, in bytes, as it last said."""
        self.alive = True
        self._running: dict[str, _Run] = {}
        self._listening: asyncio.Task[None] | None = None
        self._buried = asyncio.Event()
        # Its end is waited for in a thread: a process that it has left behind may hold its socket open.
        threading.Thread(target=self._bury, name=f"jobsd child {process.pid}", daemon=True).start()

    @classmethod
    async def start(cls, setup: ChildSetup, *, memory_bytes: int | None = None) -> Child:
        """Return a child that is ready. ``memory_bytes`` is what all its jobs together may allocate; then it ends.

        Raises ChildError.
        """
        ours, its = socket.socketpair()
        with its:
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - a few ms; the command is the daemon's own
                [*setup.command, str(its.fileno())],
                pass_fds=(its.fileno(),),
                stdin=subprocess.DEVNULL,
                process_group=0,
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=messages.LONGEST_LINE)
        child = cls(process, reader, writer)
        try:
            async with asyncio.timeout(_STARTED_WITHIN_S):
                writer.write(messages.line(messages.SETUP, {**setup.facts, "memory": memory_bytes}))
                said = await child._read()
        except TimeoutError:
            await child.kill()
            msg = f"it was not ready after {_STARTED_WITHIN_S:g} s"
            raise ChildError(msg) from None
        except BaseException:
            await child.kill()
            raise
        if said is None or said[0] != messages.READY:
            ended = await child.kill()
            raise ChildError(said[1] if said else f"its process ended at once: {ended}")
        _, child._inherited_peak, child.first_peak = said
        child.peak = child.first_peak
        child._listening = child._loop.create_task(child._listen())
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> int:
        return len(self._running)

    def run(self, job: dict[str, Any]) -> asyncio.Future[Outcome]:
        """Hand a job over, and return the future of its outcome.

        It is Died if the process ends first; it raises UnbegunError if that was before it had begun with the job.
        """
        run = self._running[job["mark"]] = _Run()
        run.outcome.add_done_callback(lambda _: self._running.pop(job["mark"], None))
        if not self._tell(messages.JOB, job):
            run.outcome.set_exception(UnbegunError())
        return run.outcome

    def cancel(self, mark: str) -> None:
        """Cancel the function of a job, which may take its time, or not end."""
        self._tell(messages.CANCEL, mark)

    def strike(self) -> None:
        """Kill the process, whatever it does, and all that it has started."""
        self.alive = False  # as far as the next job is concerned
        self._writer.close()
        self._kill_group()

    def _kill_group(self) -> None:
        if self._buried.is_set():
            return  # its number may be another's by now
        # macOS says "not permitted" of a process that has ended already.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def kill(self) -> str:
        """Kill it, and return how it ended, in words."""
        self.strike()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BURIED_WITHIN_S):
                await self._buried.wait()
                return exit_in_words(self._process.returncode)
        log.warning(Event.CHILD_UNENDED, pid=self.pid)  # the kernel does not let it go
        return "an end that is not over"

    async def ended(self) -> None:
        """Return when it is dead and buried."""
        if self._listening is not None:
            await asyncio.wait({self._listening})

    def _bury(self) -> None:
        """Wait for its end, in a thread."""
        _, status, usage = os.wait4(self._process.pid, 0)
        peak = peak_of(usage)
        # Before it was a program of its own it counted as its parent: what is not above that says nothing.
        if peak > self._inherited_peak:
            self.peak = max(self.peak, peak)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(self._has_died)

    def _has_died(self) -> None:
        self.alive = False
        self._kill_group()  # those that it leaves behind
        self._buried.set()
        # What it said before is still to be heard; one that is in no group of ours may hold the socket open.
        self._loop.call_later(_LAST_WORDS_S, self._reader.feed_eof)

    async def _listen(self) -> None:
        """Hear the ends of jobs until the process is dead; then those that ran in it are lost."""
        while (said := await self._read()) is not None:
            try:
                self._heard(said)
            except (ValueError, TypeError, KeyError) as error:
                log.warning(Event.CHILD_UNENDED, pid=self.pid, cause=f"it says what nobody understands: {error!r}")
                break
        self.alive = False
        ended = await self.kill()
        begun = [run for run in self._running.values() if run.begun]
        others = len(begun) - 1
        shared = f" that it shared with {others} other{'s' * (others > 1)}" if others > 0 else ""
        message = f"lost: the process{shared} ended with {ended}; peak memory {format_size(self.peak)}"
        for run in list(self._running.values()):
            if run.outcome.done():
                continue
            if run.begun:
                run.outcome.set_result(Died(message, self.peak, alone=others <= 0))
            else:
                run.outcome.set_exception(UnbegunError())

    def _heard(self, said: list[Any]) -> None:
        match said:
            case [messages.BEGUN, mark]:
                if run := self._running.get(mark):
                    run.begun = True
            case [messages.PEAK, peak]:
                self.peak = peak
            case [messages.ENDED, mark, name, fields, peak]:
                self.peak = peak
                run = self._running.get(mark)
                if run is not None and not run.outcome.done():
                    run.outcome.set_result(messages.outcome_of(name, fields))
            case _:
                raise ValueError(said)

    def _tell(self, *message: Any) -> bool:
        """Say something; False if it is dead, as far as we know."""
        if self.alive and not self._writer.is_closing():
            self._writer.write(messages.line(*message))
            return True
        return False

    async def _read(self) -> list[Any] | None:
        """Return what the child says; None if it is dead, or talks nonsense."""
        try:
            text = await self._reader.readline()
            return messages.read(text) if text.endswith(b"\n") else None
        except OSError:
            return None
        except ValueError as error:
            log.warning(Event.CHILD_UNENDED, pid=self.pid, cause=f"it says what nobody can read: {error}")
            return None


def exit_in_words(code: int) -> str:
    """Return what an exit code says.

    >>> exit_in_words(-9), exit_in_words(3)
    ('SIGKILL', 'exit code 3')
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
