"""The queue's server: on a unix socket only, every write in its append-only file."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from jobsd.embedded.probes import valkey_answers
from jobsd.embedded.server import Server
from jobsd.embedded.versions import Version, parse_version
from jobsd.errors import EmbeddedError

if TYPE_CHECKING:
    from pathlib import Path


class Valkey(Server):
    name = "Valkey"
    stop_steps = ((signal.SIGTERM, 15), (signal.SIGKILL, 5))
    ready_within_s = 60

    @property
    def pid_file(self) -> Path:
        return self._places.valkey_pid

    def argv(self) -> list[str]:
        # hz 50: at the default of 10 a blocking pop of 10 ms takes 99.
        settings = {
            "port": "0",
            "unixsocket": str(self._places.valkey_socket),
            "unixsocketperm": "700",
            "pidfile": str(self._places.valkey_pid),
            "dir": str(self._places.valkey_data),
            "appendonly": "yes" if self._fsync else "no",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "hz": "50",
            "daemonize": "no",
        }
        return [str(self._program), *(word for name, value in settings.items() for word in (f"--{name}", value))]

    async def prepare(self, version: Version) -> None:
        """Refuse data that a newer version has written, or the other product.

        They have no way back: some refuse each other's files, and Redis 6.2 ignores them and starts empty.
        """
        noted = self._places.valkey / "VERSION"
        made_by = parse_version(noted.read_text()) if noted.exists() else None
        if made_by is not None and (made_by.product != version.product or made_by > version):
            raise EmbeddedError(
                f"{self._places.valkey} was written by {made_by}; the program found is {version} ({self._program}), "
                f"which cannot be trusted to read it.\n"
                f"What to do: install {made_by} or newer, "
                f"or move {self._places.valkey} aside to begin with empty queues."
            )
        # Before the launch: a newer server rewrites its files as soon as it runs.
        unfinished = noted.with_suffix(".new")
        unfinished.write_text(f"{version}\n")
        unfinished.replace(noted)

    async def answers(self) -> bool:
        return await valkey_answers(self._places.valkey_socket)

    def advice(self, log_tail: str) -> str:
        if "append only" in log_tail.lower() or "aof" in log_tail.lower():
            return (
                f"its append-only file is damaged; restore {self._places.valkey} from a copy, "
                f"or move it aside to begin with empty queues. Records of past executions are in Postgres, untouched"
            )
        return super().advice(log_tail)
