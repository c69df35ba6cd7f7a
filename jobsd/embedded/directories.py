"""Making the directories below the state directory, and whose they must be."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from jobsd.embedded.account import Account, open_to_all
from jobsd.errors import EmbeddedError

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.embedded.places import Places

_EVERYBODY_ENTERS = 0o755
_OWNER_ONLY = 0o700


def make_state_directory(state: Path) -> None:
    """Make the state directory and what is missing above it; what exists keeps its mode, whoever made it."""
    mode = _EVERYBODY_ENTERS if os.geteuid() == 0 else _OWNER_ONLY
    missing = [step for step in (state, *state.parents) if not step.exists()]
    for step in reversed(missing):
        step.mkdir(mode, exist_ok=True)
        step.chmod(mode)  # the umask has taken its share


def make_directories(places: Places, account: Account) -> None:
    """Make every directory that the servers need. Raises EmbeddedError when one is somebody else's."""
    if account.dropped and not open_to_all(places.state):
        raise EmbeddedError(
            f"the servers run as {account.name!r}, who cannot reach {places.state}: a directory on the way is closed.\n"
            f"What to do: choose another state directory (JOBSD_STATE; /var/lib/jobsd is the usual one for root), "
            f"or start jobsd as an ordinary user."
        )
    # Root writes into these two, so they stay root's: in a directory of the servers' a link could lead it anywhere.
    _make(places.log, _OWNER_ONLY, owners={os.geteuid()})
    _make(places.valkey, _EVERYBODY_ENTERS, owners={os.geteuid()})
    for private in (places.run, places.valkey_data):
        # A directory that is still root's was made by a start that died before it gave it away.
        _make(private, _OWNER_ONLY, owners={os.geteuid(), account.uid})
        account.give(private)


def remove_short_run_directory(places: Places) -> None:
    """Leave nothing in /tmp after a clean stop, should the sockets have been there."""
    if places.state not in places.run.parents:
        with contextlib.suppress(OSError):  # not empty: a server that was killed has left its socket
            places.run.rmdir()


def _make(path: Path, mode: int, *, owners: set[int]) -> None:
    try:
        path.mkdir(mode)
        path.chmod(mode)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners:
            raise EmbeddedError(
                f"{path} belongs to user id {found.st_uid}, or is no directory.\n"
                f"What to do: start jobsd as the user who made the state directory, or choose another (JOBSD_STATE)."
            ) from None
