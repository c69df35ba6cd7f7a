"""A Valkey of one test's own, to be killed and started again: every write is in its append-only file."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from jobsd.embedded.binaries import find_valkey
from jobsd.store.connection import AWAY, connect
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path


class Valkey:
    """Nobody restarts it but the test."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._socket = place / "valkey.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    async def start(self) -> None:
        """Return when it answers, with its data read."""
        process = self._launch()
        redis = connect(self.url, call_timeout_s=None)

        async def answers() -> bool:
            try:
                return await redis.ping()
            except AWAY:
                assert process.poll() is None, (self._place / "valkey.log").read_text()
                return False

        await until(answers)
        await redis.aclose()

    def _launch(self) -> subprocess.Popen[bytes]:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "dir": str(self._place),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "logfile": str(self._place / "valkey.log"),
        }
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([find_valkey().path, *options])
        return self._process

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._socket.unlink(missing_ok=True)
