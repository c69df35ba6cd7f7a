"""The user that the servers run as. Postgres refuses root, so as root both become somebody unprivileged."""

from __future__ import annotations

import os
import pwd
import stat
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobsd.errors import EmbeddedError

if TYPE_CHECKING:
    from pathlib import Path

USER_VARIABLE = "JOBSD_EMBEDDED_USER"


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int
    dropped: bool  # this process is root, and the servers are not

    def give(self, path: Path) -> None:
        """Make ``path``, which this process has made, the servers' own."""
        if self.dropped:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def servers_account() -> Account:
    """Return this process's own user, or as root ``JOBSD_EMBEDDED_USER``, which is ``nobody`` unless set."""
    if os.geteuid() == 0:
        return _instead_of_root()
    return Account("the user of this process", os.geteuid(), os.getegid(), dropped=False)


def _instead_of_root() -> Account:
    name = os.environ.get(USER_VARIABLE, "nobody")
    if name == "nobody" and sys.platform == "darwin":
        # nobody is user -2 there, with which neither chown nor setuid is to be trusted.
        raise EmbeddedError(f"as root on macOS, set {USER_VARIABLE} to an ordinary user; or start jobsd as that user")
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise EmbeddedError(
            f"jobsd runs as root, and there is no user {name!r} to run the servers as: "
            f"set {USER_VARIABLE} to an existing unprivileged user"
        ) from None
    if entry.pw_uid == 0:
        raise EmbeddedError(f"{USER_VARIABLE}={name} is root, and Postgres refuses root: name an unprivileged user")
    return Account(name, entry.pw_uid, entry.pw_gid, dropped=True)


def open_to_all(path: Path) -> bool:
    """Whether anyone may walk to ``path`` and enter or run it. Group rights do not count: when in doubt, no."""
    real = path.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in {path, *path.parents, real, *real.parents})
