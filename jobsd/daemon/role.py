"""What a daemon is to others: alone, or one of several under a supervisor.

A supervised daemon inherits one end of a socket, its line to the supervisor. On it stand lines of text:

    the daemon says       ready 8.0          it takes jobs; its grace in seconds
                          failed "tasks: …"  why it does not start, as JSON
    the supervisor says   stay               when your jobs have ended, go on recording for the others
                          leave              nobody needs it any more

The line's end is the supervisor's: the daemon then stops in order, so that others get its jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from typing import TYPE_CHECKING, NamedTuple, Protocol

from jobsd.daemon import systemd
from jobsd.daemon.logs import number_lines
from jobsd.errors import JobsdError, SettingsError
from jobsd.events import Event
from jobsd.logger import log

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from jobsd.daemon.signals import Signals

VARIABLE = "JOBSD_SUPERVISED"
_MOST_BYTES = 4096


class Place(NamedTuple):
    """What a supervisor tells a daemon at its start: the line's descriptor, its number from 1 on, whether to hold."""

    fd: int
    number: int
    held: bool

    def to_text(self) -> str:
        return f"{self.fd}:{self.number}:{int(self.held)}"

    @classmethod
    def from_text(cls, text: str) -> Place:
        """Raises ValueError."""
        fd, number, held = text.split(":")
        return cls(int(fd), int(number), bool(int(held)))


class Role(Protocol):
    """As much as the daemon's process knows of where it stands."""

    number: int | None
    """Which of several it is, from 1 on."""
    first: bool
    """Whether it records for all and says what is true of all."""
    held: bool
    """Whether it is to take no jobs for now."""

    def attend(self, stop: Signals) -> None: ...
    def ready(self, grace_s: float) -> None: ...
    def stopping(self) -> None: ...
    def reload(self) -> None: ...
    async def others_ended(self) -> None: ...


class Alone:
    """A daemon that nobody started but its user or a service manager."""

    first = True
    held = False
    number: int | None = None

    def attend(self, stop: Signals) -> None:
        pass

    def ready(self, grace_s: float) -> None:  # noqa: ARG002 - nobody waits for its end
        log.info(Event.DAEMON_READY, processes=1)
        systemd.ready()

    def stopping(self) -> None:
        systemd.stopping()

    def reload(self) -> None:
        log.warning(
            Event.RELOAD_IGNORED,
            cause="a single process cannot reload its code",
            remedy="run it with --processes; 1 is enough",
        )

    async def others_ended(self) -> None:
        pass

    def number_lines(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Supervised:
    """A daemon at its supervisor's line. Its ``with`` closes the line, and tells of the error that ended it."""

    def __init__(self, place: Place) -> None:
        """Raises OSError if there is no line."""
        self._place = place
        self.number: int | None = place.number
        self.first = place.number == 1
        self.held = place.held
        self._line = socket.socket(fileno=place.fd)
        self._line.setblocking(False)
        os.set_inheritable(place.fd, False)  # what tasks start must not keep the line open
        self._others_ended = asyncio.Event()
        self._others_ended.set()
        self._rest = b""

    def attend(self, stop: Signals) -> None:
        """Heed what the supervisor says, and its end, for as long as the event loop runs."""
        asyncio.get_running_loop().add_reader(self._line, self._heard, stop)

    def ready(self, grace_s: float) -> None:
        self._say(f"ready {grace_s}")

    def stopping(self) -> None:
        pass

    def reload(self) -> None:
        log.warning(
            Event.RELOAD_IGNORED,
            cause="one of several daemons does not reload by itself",
            remedy="send SIGHUP to the supervisor, or use jobsd reload",
            supervisor=os.getppid(),
        )

    async def others_ended(self) -> None:
        """Return when no other daemon of the supervisor adds records any more, if it wants to wait for that."""
        await self._others_ended.wait()  # the limit is the supervisor's: it ends them, or ends itself

    def number_lines(self) -> None:
        """Let every log line of the process say which daemon it is of."""
        number_lines(self._place.number)

    def _heard(self, stop: Signals) -> None:
        try:
            got = self._line.recv(_MOST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            got = b""
        *words, self._rest = (self._rest + got).split(b"\n")
        for word in words:
            match word:
                case b"stay":
                    self._others_ended.clear()
                case b"leave":
                    self._others_ended.set()
                case _:
                    pass  # of a supervisor that knows more than we do
        if not got:
            asyncio.get_running_loop().remove_reader(self._line)
            self._others_ended.set()
            log.warning(Event.SUPERVISOR_LOST, consequence="the daemon ends in order")
            stop.stop()

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # it is gone: its end is heard as well
            self._line.sendall(f"{text}\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if isinstance(error, Exception):
            cause = str(error) if isinstance(error, JobsdError) else f"{type(error).__name__}: {error}"
            self._say(f"failed {json.dumps(cause)}")
        self._line.close()


def take_role() -> Alone | Supervised:
    """Return the role that the environment gives, and take it out of there: nobody inherits it.

    Raises SettingsError.
    """
    text = os.environ.pop(VARIABLE, None)
    if text is None:
        return Alone()
    try:
        return Supervised(Place.from_text(text))
    except (ValueError, OSError):
        raise SettingsError(
            [f"environment {VARIABLE}: is set by a supervisor for its daemons, and not by hand"]
        ) from None
