"""An flock: held while any process keeps its file open, and gone with the last of them, even after kill -9.

Pids lie (they are used again, zombies still answer); this does not.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        return self._fd is not None

    @property
    def fd(self) -> int:
        """The open file, to be inherited by whoever shall keep the lock held."""
        if self._fd is None:
            msg = f"{self.path} is not locked"
            raise RuntimeError(msg)
        return self._fd

    def acquire(self) -> bool:
        """Take the lock if it is free; whether it was. The file then says who holds it."""
        if self._fd is not None:
            return True
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        except OSError:
            os.close(fd)
            raise
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd
        _held.add(self)
        return True

    def release(self) -> None:
        """Close the file. LOCK_UN would also take the lock from those who have inherited it."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
        _held.discard(self)

    def holder(self) -> str:
        """Return the pid of the last process that took the lock, for a message; "unknown" if it cannot be read."""
        try:
            return self.path.read_text().strip() or "unknown"
        except OSError:
            return "unknown"


def _release_all() -> None:
    for lock in tuple(_held):
        lock.release()


# A child of os.fork (multiprocessing's fork method) would keep the locks beyond the death of their owner.
os.register_at_fork(after_in_child=_release_all)
