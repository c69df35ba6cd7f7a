"""The files by which `jobsd reload` finds the supervisors of this state directory, and learns what they did.

    STATE/supervisors/<pid>-<random>.json    held under an flock for as long as its supervisor lives

A pid alone may mean another process by now; a file whose lock is free is stale, and is removed by whoever sees it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from jobsd.embedded.directories import make_state_directory
from jobsd.embedded.locks import FileLock
from jobsd.events import Event
from jobsd.logger import log

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

# All of it is written and read in one go, so that nobody sees half of a change.
_BYTES = 4096
_KEPT = 6
_LONGEST_FAILURE = 400
_KILL = "/bin/kill"
_TOLD_WITHIN_S = 5.0


@dataclass(frozen=True)
class Reloaded:
    """How one reload ended. ``failure`` is empty when all daemons were replaced."""

    number: int
    processes: int
    replaced: int
    seconds: float
    failure: str

    @property
    def consequence(self) -> str:
        """What runs after a failure."""
        if not self.replaced:
            return "the old code goes on"
        return f"{self.replaced} of {self.processes} daemons run the new code, the others the old"


@dataclass(frozen=True)
class Known:
    """What a supervisor says of itself: how many reloads have begun, and how the last ones ended."""

    pid: int
    host: str
    processes: int
    begun: int = 0
    ended: tuple[Reloaded, ...] = ()

    def outcome(self, number: int) -> Reloaded | None:
        """Return how the first reload from ``number`` on ended; None if it has not."""
        return next((one for one in self.ended if one.number >= number), None)


def _folder(state: Path) -> Path:
    return state / "supervisors"


class SupervisorFile:
    """The file of this process, from its ``with`` on. Without it a supervisor works, and only SIGHUP reloads it."""

    def __init__(self, state: Path, *, processes: int) -> None:
        self._state = state
        self._known = Known(os.getpid(), socket.gethostname(), processes)
        self._lock: FileLock | None = None
        self._path = _folder(state) / f"{os.getpid()}-{secrets.token_hex(4)}.json"

    def reload_began(self) -> None:
        self._write(begun=self._known.begun + 1)

    def reload_ended(self, *, replaced: int, seconds: float, failure: str) -> Reloaded:
        ended = Reloaded(self._known.begun, self._known.processes, replaced, seconds, failure[:_LONGEST_FAILURE])
        self._write(ended=(*self._known.ended, ended)[-_KEPT:])
        return ended

    def __enter__(self) -> Self:
        try:
            self._make()
        except OSError as error:
            log.warning(
                Event.SUPERVISOR_UNLISTED,
                cause=str(error),
                consequence="jobsd reload does not find it; SIGHUP does the same",
                remedy="set JOBSD_STATE to a directory that it may write to",
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._lock.release()

    def _make(self) -> None:
        make_state_directory(self._state)
        _folder(self._state).mkdir(mode=0o700, exist_ok=True)
        # It gets its name when it is locked and whole: nobody takes it for stale before.
        unnamed = self._path.with_suffix(".new")
        lock = FileLock(unnamed)
        lock.acquire()
        self._lock = lock
        self._write()
        unnamed.rename(self._path)

    def _write(self, **changed: Any) -> None:
        self._known = replace(self._known, **changed)
        if self._lock is None:
            return
        text = json.dumps(asdict(self._known), ensure_ascii=False).encode(errors="replace")
        try:
            os.pwrite(self._lock.fd, text.ljust(_BYTES), 0)
        except OSError as error:
            log.warning(Event.SUPERVISOR_UNLISTED, cause=str(error), consequence="jobsd reload learns nothing")


@dataclass(frozen=True)
class Running:
    """A supervisor as another process finds it."""

    path: Path
    owner: int
    """The user id that the file belongs to."""
    known: Known

    def ask_to_reload(self) -> None:
        """Send SIGHUP. Raises OSError."""
        if self.owner == os.geteuid():
            os.kill(self.known.pid, signal.SIGHUP)
            return
        # Whoever owns the file may have written any pid. As root we reach no more with it than its owner would.
        subprocess.run(  # noqa: S603 - a fixed program and a number
            [_KILL, "-HUP", str(self.known.pid)],
            user=self.owner,
            extra_groups=(),
            check=True,
            capture_output=True,
            timeout=_TOLD_WITHIN_S,
        )

    def look(self) -> Running | None:
        """Return it as it is now, or None if it has ended."""
        return _read(self.path)


def running_supervisors(state: Path) -> list[Running]:
    """Return the supervisors of this host that live. Raises OSError if one may not look."""
    folder = _folder(state)
    if not folder.exists():
        return []
    found = (_read(path) for path in sorted(folder.iterdir()) if path.suffix == ".json")
    return [one for one in found if one is not None and one.known.host == socket.gethostname()]


def _read(path: Path) -> Running | None:
    """Return what the file says, or None; one that nobody holds any more is removed. Raises OSError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        if _is_free(fd):
            path.unlink(missing_ok=True)
            return None
        said: dict[str, Any] = json.loads(os.pread(fd, _BYTES, 0))
        ended = tuple(Reloaded(**one) for one in said.pop("ended"))
        return Running(path, os.fstat(fd).st_uid, Known(**said, ended=ended))
    except (ValueError, TypeError, KeyError) as error:
        raise OSError(errno.EINVAL, "is not what a supervisor of this version writes", str(path)) from error
    finally:
        os.close(fd)


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
