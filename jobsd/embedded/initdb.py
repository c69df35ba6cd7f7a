"""Making Postgres' data directory.

initdb writes PG_VERSION first, so a directory that was interrupted looks finished. It is therefore made aside,
its database included, and renamed when it is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

from jobsd.embedded.launch import Launched, Launcher, ended
from jobsd.embedded.places import POSTGRES_DATABASE, POSTGRES_USER, Places
from jobsd.errors import EmbeddedError

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.embedded.versions import Version

_STEP_WITHIN_S = 120
_FIRST_WITH_BUILTIN_LOCALES = 17
# For containers with a tiny /dev/shm, which initdb would choose and then not fit into.
_WITHOUT_DEV_SHM = ("-c", "dynamic_shared_memory_type=mmap")


class Initdb:
    def __init__(self, bindir: Path, places: Places, launcher: Launcher) -> None:
        self._bindir = bindir
        self._places = places
        self._launcher = launcher

    async def run(self, version: Version) -> None:
        """Make the data directory. Raises EmbeddedError, and leaves nothing that looks like one."""
        if self._places.postgres.exists() and any(self._places.postgres.iterdir()):
            raise EmbeddedError(
                f"{self._places.postgres} has files in it, but no database of Postgres.\n"
                f"What to do: move it aside, and start again."
            )
        try:
            await self._initdb(version)
        except EmbeddedError as error:
            if "shared memory" not in str(error):
                raise
            await self._initdb(version, *_WITHOUT_DEV_SHM)
        await self._create_database()
        self._places.postgres_unfinished.rename(self._places.postgres)

    async def _initdb(self, version: Version, *more: str) -> None:
        directory = self._places.postgres_unfinished
        await asyncio.to_thread(_remove, directory)
        directory.mkdir(0o700)
        self._launcher.account.give(directory)
        # The builtin provider sorts alike on every system, and does not change with its C library.
        builtin = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        await self._step(
            "initdb",
            [
                str(self._bindir / "initdb"),
                *("-D", str(directory), "-U", POSTGRES_USER, "--encoding=UTF8", "--locale=C"),
                *(builtin if version.major >= _FIRST_WITH_BUILTIN_LOCALES else ()),
                *("--auth-local=trust", "--auth-host=scram-sha-256", "--no-instructions"),
                *more,
            ],
        )

    async def _create_database(self) -> None:
        single_user = [str(self._bindir / "postgres"), "--single", "-D", str(self._places.postgres_unfinished)]
        await self._step(
            "creating the database",
            [*single_user, "-c", "exit_on_error=on", "postgres"],
            says=f"CREATE DATABASE {POSTGRES_DATABASE}\n",
        )

    async def _step(self, what: str, argv: list[str], *, says: str = "") -> None:
        launched = self._launcher.launch("initdb", argv, on_parent_death=signal.SIGKILL, stdin=subprocess.PIPE)
        try:
            _tell(launched, says)
            in_time = await ended(launched.process, within_s=_STEP_WITHIN_S)
        finally:
            _kill_if_alive(launched)
        if launched.process.returncode:
            how = "failed" if in_time else f"took longer than {_STEP_WITHIN_S} s"
            raise EmbeddedError(
                f"Postgres got no data directory: {what} {how}.\n"
                f"The end of {launched.log}:\n{launched.tail()}\n"
                f"What to do: mend what it names, and start again; or give JOBSD_DATABASE_URL."
            )


def _tell(launched: Launched, words: str) -> None:
    stdin = launched.process.stdin
    if stdin is not None:
        with contextlib.suppress(BrokenPipeError), stdin:  # it has ended; its log says why
            stdin.write(words.encode())


def _kill_if_alive(launched: Launched) -> None:
    if launched.process.poll() is None:
        os.killpg(launched.process.pid, signal.SIGKILL)  # initdb has children of its own
        launched.process.wait()


def _remove(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
