"""Own the servers, or attach to the owner's and wait to take over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from jobsd.clock import monotonic
from jobsd.embedded.binaries import find_postgres, find_valkey
from jobsd.embedded.crew import Crew, Programs
from jobsd.embedded.directories import make_state_directory
from jobsd.embedded.locks import FileLock
from jobsd.embedded.places import Places, Servers, state_directory
from jobsd.embedded.probes import postgres_answers, valkey_answers
from jobsd.errors import EmbeddedError
from jobsd.events import Event
from jobsd.logger import log
from jobsd.service import Service

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from types import TracebackType

_LOOK_EVERY_S = 0.2
# Longer than an owner's own start may take.
_ATTACH_WITHIN_S = 150.0
_QUICK_ANSWER_S = 0.5


class Embedded:
    """The servers of one state directory. Finds the programs, and starts nothing before ``start``.

    ``fsync=False`` risks the data for speed: for tests.
    """

    def __init__(
        self, state: Path | None = None, *, valkey: bool = True, postgres: bool = True, fsync: bool = True
    ) -> None:
        programs = Programs(find_valkey() if valkey else None, find_postgres() if postgres else None)
        self._places = Places(state_directory(state))
        self.servers = Servers(
            redis_url=self._places.redis_url if valkey else None,
            database_url=self._places.database_url if postgres else None,
        )
        self._crew = Crew(programs, self._places, fsync=fsync)
        self._lock = FileLock(self._places.owner_lock)
        self._heir: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    @property
    def owner(self) -> bool:
        """Whether this process runs the servers. Changes by itself when an attached one takes over."""
        return self._lock.held

    async def start(self) -> Servers:
        """Return the addresses when all servers answer on them.

        Raises EmbeddedError, after which nothing is left running.
        """
        async with self._changing:
            if not self.owner and self._heir is None:
                try:
                    await self._own_or_attach()
                except OSError as error:
                    raise EmbeddedError(
                        f"the state directory {self._places.state} cannot be used: {error}\n"
                        f"What to do: choose another one (JOBSD_STATE) that this user may write to."
                    ) from error
            return self.servers

    async def stop(self) -> None:
        """Stop the servers if this process owns them; close pools and clients before. Leaves those of others alone."""
        async with self._changing:
            if self._heir is not None:
                self._heir.cancel()
                await asyncio.gather(self._heir, return_exceptions=True)
                self._heir = None
            if self.owner:
                await self._crew.stop()
                self._lock.release()
                log.info(Event.EMBEDDED_STOPPED, state=str(self._places.state))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _own_or_attach(self) -> None:
        make_state_directory(self._places.state)
        deadline = monotonic() + _ATTACH_WITHIN_S
        while not await self._own():
            if await self._all_answer():
                self._heir = asyncio.create_task(Heir(self._take_over).run())
                return
            if monotonic() > deadline:
                raise EmbeddedError(
                    f"process {self._lock.holder()} runs the servers of {self._places.state}, "
                    f"but after {_ATTACH_WITHIN_S:.0f} s not all that are wanted here answer.\n"
                    f"What to do: read the logs in {self._places.log}; if that process embeds only one server, "
                    f"give this one its own state directory (JOBSD_STATE), or stop that process."
                )
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _own(self) -> bool:
        """Become the owner if there is none, and run the servers."""
        if not self._lock.acquire():
            return False
        try:
            await self._crew.start()
        except BaseException:
            self._lock.release()
            raise
        return True

    async def _take_over(self) -> bool:
        taken = await self._own()
        if taken:
            log.warning(Event.EMBEDDED_TAKEN_OVER, state=str(self._places.state))
        return taken

    async def _all_answer(self) -> bool:
        wanted, found = self.servers, await _answering(self._places)
        return (found.redis_url is not None or wanted.redis_url is None) and (
            found.database_url is not None or wanted.database_url is None
        )


class Heir(Service):
    """Waits for the owner to go, then takes over on the same sockets."""

    def __init__(self, take_over: Callable[[], Awaitable[bool]]) -> None:
        super().__init__()
        self._take_over = take_over

    async def tick(self) -> float | None:
        if await self._take_over():
            self.stop()
            return None
        return _LOOK_EVERY_S


async def running_servers(state: Path | None = None) -> Servers | None:
    """Return the addresses on which servers answer now; None when neither does. Starts and creates nothing."""
    found = await _answering(Places(state_directory(state)))
    return found if found.redis_url or found.database_url else None


async def _answering(places: Places) -> Servers:
    valkey, postgres = await asyncio.gather(
        valkey_answers(places.valkey_socket, within_s=_QUICK_ANSWER_S),
        postgres_answers(places.postgres_socket, within_s=_QUICK_ANSWER_S),
    )
    return Servers(places.redis_url if valkey else None, places.database_url if postgres else None)
