"""The owner's servers: started together, kept alive, stopped in order."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.embedded.account import servers_account
from jobsd.embedded.directories import make_directories, remove_short_run_directory
from jobsd.embedded.launch import Launcher
from jobsd.embedded.locks import FileLock
from jobsd.embedded.orphans import clear_orphans
from jobsd.embedded.postgres import Postgres
from jobsd.embedded.runtime import forget_other_copies, within_reach
from jobsd.embedded.valkey import Valkey
from jobsd.events import Event
from jobsd.logger import log
from jobsd.service import Service, backoff_s

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.embedded.binaries import Program
    from jobsd.embedded.places import Places
    from jobsd.embedded.server import Server

_LOOK_EVERY_S = 0.1
_DEATHS_COUNT_FOR_S = 60.0


@dataclass(frozen=True)
class Programs:
    """The programs to run; None for a server that is somebody else's."""

    valkey: Program | None
    postgres: Program | None

    def wanted(self) -> list[Program]:
        return [program for program in (self.valkey, self.postgres) if program]


class Crew:
    """All that an owner runs. The caller holds ``owner.lock`` from before ``start`` until after ``stop``."""

    def __init__(self, programs: Programs, places: Places, *, fsync: bool) -> None:
        self._programs = programs
        self._places = places
        self._fsync = fsync
        self._alive = FileLock(places.alive_lock)
        self._servers: list[Server] = []
        self._keepers: list[Keeper] = []
        self._keeping: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Return when all servers answer. Whatever happens instead, none is left behind."""
        began = monotonic()
        await self.stop()  # what a stop that was cancelled has left
        try:
            self._servers = await self._hire()
            await self._start_all()
        except BaseException:
            await self.stop()
            raise
        self._keepers = [Keeper(server) for server in self._servers]
        self._keeping = [asyncio.create_task(keeper.run()) for keeper in self._keepers]
        log.info(
            Event.EMBEDDED_STARTED,
            state=str(self._places.state),
            servers=[f"{server.version} (pid {server.pid})" for server in self._servers],
            took_ms=round((monotonic() - began) * 1000),
        )

    async def stop(self) -> None:
        """Stop Valkey, then Postgres: what the queue's last words lead to can still be recorded."""
        for keeper in self._keepers:
            keeper.stop()
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        for server in self._servers:
            await server.stop()
        if self._servers:
            remove_short_run_directory(self._places)
        self._servers, self._keepers, self._keeping = [], [], []
        self._alive.release()

    async def _hire(self) -> list[Server]:
        """Make the ground ready, and see that nobody of an earlier crew is on it."""
        account = servers_account()
        make_directories(self._places, account)
        launcher = Launcher(account, self._places.log, self._alive)

        async def path_of(program: Program) -> Path:
            if not account.dropped:
                return program.path
            return await asyncio.to_thread(within_reach, program, self._places.runtime)

        servers: list[Server] = []
        if self._programs.valkey:
            valkey = await path_of(self._programs.valkey)
            servers.append(Valkey(valkey, self._places, launcher, fsync=self._fsync))
        if self._programs.postgres:
            postgres = await path_of(self._programs.postgres)
            servers.append(Postgres(postgres, self._places, launcher, fsync=self._fsync))
        await clear_orphans(self._alive, servers, self._places)
        await asyncio.to_thread(forget_other_copies, self._programs.wanted(), self._places.runtime)
        return servers

    async def _start_all(self) -> None:
        try:
            async with asyncio.TaskGroup() as starting:
                for server in self._servers:
                    starting.create_task(server.start())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None


class Keeper(Service):
    """Starts its server again when it has died, the more slowly the more often that happens."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._deaths: deque[float] = deque()

    @property
    def name(self) -> str:
        return f"{type(self).__name__} of {self._server.name}"

    async def tick(self) -> float | None:
        if self._server.alive:
            return _LOOK_EVERY_S
        ending = self._server.ending
        await self.sleep(backoff_s(self._count_death()))
        if self.stopping:
            return None
        self._server.launch()
        await self._server.ready()
        log.warning(Event.EMBEDDED_RESTARTED, server=self._server.name, died_of=ending, deaths=len(self._deaths))
        return None

    def _count_death(self) -> int:
        now = monotonic()
        self._deaths.append(now)
        while self._deaths[0] < now - _DEATHS_COUNT_FOR_S:
            self._deaths.popleft()
        return len(self._deaths)
