"""The endings of the moment, written to Redis: what ended while a call was under way goes in the next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic_core import to_json

from jobsd.duration import duration_ms
from jobsd.engine.texts import message_of
from jobsd.events import Event
from jobsd.logger import log
from jobsd.service import Service
from jobsd.store.connection import AWAY, is_away
from jobsd.store.jobs import Ending

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.engine.options import WorkerOptions
    from jobsd.store.jobs import Jobs, Lease

_MOST_ENDINGS = 500
_MOST_REFUSALS = 5
_MOST_BYTES = 4 * 1024 * 1024


class Finisher(Service):
    """Writes endings in batches, each until it is acknowledged; repeating a batch changes nothing.

    ``written`` is called with each lease whose ending has been answered, accepted or not; ``cancelled`` with one whose
    ending was not written because the job is to run no more, and which is to end as cancelled.
    """

    expected = AWAY

    def __init__(
        self,
        jobs: Jobs,
        worker: str,
        options: WorkerOptions,
        written: Callable[[Lease], None],
        cancelled: Callable[[Lease], None],
    ) -> None:
        super().__init__()
        self._jobs = jobs
        self._worker = worker
        self._keep_completed_count = options.keep_completed_count
        self._keep_archived_ms = duration_ms(options.keep_archived)
        self._keep_archived_count = options.keep_archived_count
        self._written = written
        self._cancelled = cancelled
        self._pending: list[Ending] = []
        self._batch: list[Ending] = []
        self._number = 0
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._refusals = 0
        self.accepted = 0
        self.stale = 0

    def put(self, ending: Ending) -> None:
        self._pending.append(ending)
        self._work.set()
        self._idle.clear()

    @property
    def backlog(self) -> int:
        return len(self._pending) + len(self._batch)

    async def drained(self, timeout_s: float) -> bool:
        """Wait until nothing is left to write; False if that takes longer than ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def stop(self) -> None:
        super().stop()
        self._work.set()

    async def tick(self) -> float | None:
        if not self._batch:
            if not self._pending:
                self._idle.set()
                self._work.clear()
                await self._work.wait()
            self._batch = self._next_batch()
            self._number += 1
        if not self._batch:
            return None
        try:
            letters = await self._write()
        except Exception as error:
            if not is_away(error):
                self._isolate(error)
            raise
        self._refusals = 0
        for ending, letter in zip(self._batch, letters, strict=True):
            if letter == "a":
                self.accepted += 1
            elif letter == "c":
                self._cancelled(ending.lease)
                continue
            else:
                self.stale += 1
                log.warning(
                    Event.ENDING_REFUSED, job_id=ending.lease.id, attempt=ending.lease.attempt, move=ending.move
                )
            self._written(ending.lease)
        self._batch = []
        return None

    async def _write(self) -> str:
        return await self._jobs.finish(
            self._worker,
            self._number,
            self._batch,
            keep_completed_count=self._keep_completed_count,
            keep_archived_ms=self._keep_archived_ms,
            keep_archived_count=self._keep_archived_count,
        )

    def _isolate(self, error: Exception) -> None:
        """Halve a batch that the server refuses, down to the one ending that it will not take.

        That job is archived with the cause. Should even this be refused, the lease is let go, and the job runs again.
        """
        if len(self._batch) > 1:
            half = len(self._batch) // 2
            self._pending[:0] = self._batch[half:]
            self._batch = self._batch[:half]
            self._number += 1
            return
        (ending,) = self._batch
        self._refusals += 1
        if self._refusals == _MOST_REFUSALS:
            log.error(Event.ENDING_REPLACED, job_id=ending.lease.id, move=ending.move, cause=str(error))
            self._batch = [_archived(ending.lease, error)]
            self._number += 1
        elif self._refusals >= 2 * _MOST_REFUSALS:
            log.error(Event.ENDING_LET_GO, job_id=ending.lease.id, move=ending.move, cause=str(error))
            self._batch, self._refusals = [], 0
            self._written(ending.lease)

    def _next_batch(self) -> list[Ending]:
        size = 0
        for n, ending in enumerate(self._pending):
            size += len(ending.result) + len(ending.record) + len(ending.data)
            if n and (n == _MOST_ENDINGS or size > _MOST_BYTES):
                batch, self._pending = self._pending[:n], self._pending[n:]
                return batch
        batch, self._pending = self._pending, []
        return batch


def _archived(lease: Lease, error: Exception) -> Ending:
    """Return the barest ending there is, for one that the server refuses."""
    message = f"its ending could not be written: {message_of(error)}"
    info = {
        "n": lease.attempt,
        "e": ["EndingError", message],
        "outcome": "failed",
        "message": message,
        "due": lease.due,
    }
    return Ending(lease, "A", 0, to_json(info), b"", b"")
