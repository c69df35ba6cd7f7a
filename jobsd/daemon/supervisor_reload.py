"""A rolling reload: the daemons are replaced one at a time by such that have imported the code anew.

A new one is ready before the old one is told to stop, so somebody takes jobs at every moment, and the old one ends in
order: no job is lost, and none runs twice. A new one that does not get ready ends the reload; what runs goes on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.daemon import systemd
from jobsd.events import Event
from jobsd.logger import log
from jobsd.service import Service

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from jobsd.daemon.supervisor_child import Child
    from jobsd.daemon.supervisor_file import SupervisorFile
    from jobsd.daemon.supervisor_slot import Slot

_READY_WITHIN_S = 60.0


class NotReadyError(Exception):
    """A daemon with the new code did not get so far as to take jobs."""

    def __init__(self, child: Child) -> None:
        if child.ended.is_set():
            cause = child.failure or f"it ended before it was ready ({child.how}); the log says why"
        else:
            cause = f"it was not ready after {_READY_WITHIN_S:g} s"
        super().__init__(f"daemon {child.number}: {cause}")


class Reloader(Service):
    """Reloads when it was asked to. What is asked during a reload is one more reload: the code may have changed."""

    def __init__(self, slots: Sequence[Slot], start: Callable[[int], Awaitable[Child]], file: SupervisorFile) -> None:
        super().__init__()
        self._slots = slots
        self._start = start
        self._file = file
        self._asked = asyncio.Event()

    def ask(self) -> None:
        self._asked.set()

    def stop(self) -> None:
        super().stop()
        self._asked.set()

    async def tick(self) -> float | None:
        await self._asked.wait()
        if not self.stopping:
            self._asked.clear()
            await self._reload()
        return None

    async def _reload(self) -> None:
        began_at = monotonic()
        self._file.reload_began()
        systemd.reloading()
        log.info(Event.RELOAD_STARTED, processes=len(self._slots))
        replaced = 0
        failure = ""
        try:
            for slot in self._slots:
                await self._replace(slot)
                replaced += 1
        except (NotReadyError, OSError) as error:
            failure = str(error)
        seconds = round(monotonic() - began_at, 3)
        if self.stopping:
            failure = "the supervisor was told to stop"
        ended = self._file.reload_ended(replaced=replaced, seconds=seconds, failure=failure)
        if self.stopping:
            return
        if failure:
            log.error(Event.RELOAD_FAILED, cause=failure, consequence=ended.consequence)
        else:
            log.info(Event.RELOAD_ENDED, processes=replaced, took_s=seconds)
        systemd.ready()

    async def _replace(self, slot: Slot) -> None:
        """Raises NotReadyError or OSError, and nothing has changed."""
        new = await self._start(slot.number)
        if not await new.begins(_READY_WITHIN_S):
            error = NotReadyError(new)
            await new.kill()
            raise error
        old = await slot.put(new)
        log.info(Event.DAEMON_REPLACED, daemon=slot.number, pid=new.pid, before=old.pid if old else None)
        if old is not None:
            old.stop()
            await old.end()
