"""Job.abort(): stops the jobs of this worker that a client wants aborted, and clears away marks that mean nothing.

A client leaves a mark, the job's id with the ms at which it asked. One that is older than the job of that id
meant another; one without a job means none. Jobs that still wait are looked up when they start: see calls.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.engine.arq.calls import is_older
from jobsd.service import Service
from jobsd.store.connection import AWAY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobsd.engine.attempt import Attempt
    from jobsd.store.neighbours import Neighbours


class Aborter(Service):
    expected = AWAY

    def __init__(
        self,
        neighbours: Neighbours,
        attempts: Mapping[str, Attempt],
        cancel: Callable[[Attempt], None],
        *,
        every_s: float,
    ) -> None:
        super().__init__()
        self._neighbours = neighbours
        self._attempts = attempts
        self._cancel = cancel
        self._every_s = every_s

    async def tick(self) -> float | None:
        if marks := await self._neighbours.aborts():
            await self._look(marks)
        return self._every_s

    async def _look(self, marks: dict[str, int]) -> None:
        running = {attempt.lease.id: attempt for attempt in list(self._attempts.values())}
        void = dict.fromkeys(await self._neighbours.ended(list(marks)))
        for job_id, asked_at in marks.items():
            attempt = running.get(job_id)
            if attempt is None or job_id in void:
                continue
            if is_older(asked_at, attempt):
                void[job_id] = None
            elif attempt.stop is None:
                self._cancel(attempt)
        if void:
            await self._neighbours.drop_aborts({job_id: marks[job_id] for job_id in void})
