"""Every path and address below the state directory. Pure: nothing here is created."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import platformdirs

# sun_path holds 104 bytes on macOS, 108 on Linux, the final zero included.
_LONGEST_SOCKET_PATH = 103
_LONGEST_SOCKET_NAME = len("/.s.PGSQL.5432")
# Not gettempdir(): the daemon and a command in another shell must come to the same path whatever their TMPDIR.
_SHORT_ROOT = Path("/tmp")  # noqa: S108 - the directory made in it is 0700 and its owner is checked

POSTGRES_USER = "jobsd"
POSTGRES_DATABASE = "jobsd"


@dataclass(frozen=True)
class Servers:
    """The addresses of the servers that run; None for one that does not."""

    redis_url: str | None
    database_url: str | None


def state_directory(given: Path | None = None) -> Path:
    """Return the directory that holds everything: ``given``, else ``JOBSD_STATE``, else the system's place for data.

    For root that is ``/var/lib/jobsd``. It holds data, so it is neither XDG's *state* nor its *cache*.
    """
    if given is None:
        named = os.environ.get("JOBSD_STATE")
        if named:
            given = Path(named)
        elif os.geteuid() == 0:
            given = Path("/var/lib/jobsd")
        else:
            given = platformdirs.user_data_path("jobsd")
    return given.expanduser().resolve()


@dataclass(frozen=True)
class Places:
    state: Path

    @property
    def owner_lock(self) -> Path:
        return self.state / "owner.lock"

    @property
    def alive_lock(self) -> Path:
        return self.state / "alive.lock"

    @property
    def log(self) -> Path:
        return self.state / "log"

    @property
    def runtime(self) -> Path:
        return self.state / "runtime"

    @property
    def valkey(self) -> Path:
        """Valkey's room: its VERSION, and ``data``; moved aside as one."""
        return self.state / "valkey"

    @property
    def valkey_data(self) -> Path:
        return self.valkey / "data"

    @property
    def postgres(self) -> Path:
        return self.state / "postgres"

    @property
    def postgres_unfinished(self) -> Path:
        return self.state / "postgres.init"

    @property
    def run(self) -> Path:
        """The directory of the sockets.

        It moves below /tmp when a socket's path would not fit its structure, or has a comma in it:
        to Postgres and to asyncpg that separates two directories.
        """
        run = self.state / "run"
        if len(os.fsencode(run)) + _LONGEST_SOCKET_NAME <= _LONGEST_SOCKET_PATH and "," not in str(run):
            return run
        return _SHORT_ROOT / f"jobsd-{hashlib.sha256(os.fsencode(self.state)).hexdigest()[:16]}"

    @property
    def valkey_socket(self) -> Path:
        return self.run / "valkey.sock"

    @property
    def valkey_pid(self) -> Path:
        return self.run / "valkey.pid"

    @property
    def postgres_socket(self) -> Path:
        return self.run / ".s.PGSQL.5432"

    @property
    def redis_url(self) -> str:
        return f"unix://{quote(str(self.valkey_socket))}"

    @property
    def database_url(self) -> str:
        return f"postgresql://{POSTGRES_USER}@/{POSTGRES_DATABASE}?host={quote(str(self.run), safe='')}"
