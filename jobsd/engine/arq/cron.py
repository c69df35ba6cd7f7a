"""cron_jobs: turns due times into jobs, by the server's clock.

Every worker of a queue does so, and of a unique entry one of them succeeds: the job of a due time and the note
that it had its job are written in one step. Hence a worker that comes late, because its clock is wrong or its
loop was blocked, does not run a time again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from arq.jobs import serialize_job
from arq.utils import to_unix_ms

from jobsd.events import Event
from jobsd.logger import log
from jobsd.service import Service
from jobsd.store.connection import AWAY
from jobsd.store.neighbours import Tick

if TYPE_CHECKING:
    from collections.abc import Callable

    from arq.cron import CronJob
    from arq.worker import Worker

    from jobsd.store.neighbours import Neighbours

_WINDOW_S = 0.5
_LATE = timedelta(minutes=1)


class Ticker(Service):
    """Enqueues each due time shortly before it comes; ``look`` tells the worker that there is one."""

    expected = AWAY

    def __init__(self, worker: Worker, neighbours: Neighbours, look: Callable[[], None]) -> None:
        super().__init__()
        self._worker = worker
        self._neighbours = neighbours
        self._look = look
        self._entries = list(worker.cron_jobs)
        self._window = timedelta(seconds=max(worker.poll_delay_s, _WINDOW_S))

    async def tick(self) -> float | None:
        now = datetime.fromtimestamp(await self._neighbours.now_ms() / 1000, tz=self._worker.timezone)
        for entry in self._entries:
            await self._advance(entry, now)
        return self._window.total_seconds()

    async def first_tick(self) -> None:
        """Tick before anything is claimed: a burst may not end before what is due at the start."""
        try:
            await self.tick()
        except Exception as error:  # noqa: BLE001 - the service tries again
            log.debug(Event.SERVICE_FAILED, service=self.name, cause=repr(error))

    async def _advance(self, entry: CronJob, now: datetime) -> None:
        at_startup = entry.next_run is None and entry.run_at_startup
        if entry.next_run is None:
            if not at_startup:
                self._set_next(entry, now)
                return
            entry.next_run = now
        due = entry.next_run
        if due >= now + 2 * self._window:
            return
        if await self._neighbours.enqueue_tick(self._job(entry, due, now, at_startup=at_startup)):
            self._look()
        # A process that stood still for hours makes up for one of the times that it missed, not for all.
        self._set_next(entry, now if now - due > _LATE else due)

    def _set_next(self, entry: CronJob, after: datetime) -> None:
        try:
            entry.calculate_next(after)
        except (OverflowError, ValueError) as error:  # such as the 30th of February; it took seconds to find none
            self._entries = [other for other in self._entries if other is not entry]
            log.error(Event.CRON_SKIPPED, entry=_schedule_of(entry), cause=str(error))

    def _job(self, entry: CronJob, due: datetime, now: datetime, *, at_startup: bool) -> Tick:
        worker, due_ms, now_ms = self._worker, to_unix_ms(due), to_unix_ms(now)
        once = entry.unique or entry.job_id
        own_id = f"{entry.name}:{due_ms}" if entry.unique else uuid4().hex
        return Tick(
            entry.job_id or own_id,
            serialize_job(entry.name, (), {}, None, now_ms, serializer=worker.job_serializer),
            due_ms,
            max(due_ms - now_ms, 0) + worker.expires_extra_ms,
            None if at_startup or not once else _schedule_of(entry),
        )


def _schedule_of(entry: CronJob) -> str:
    """Return the entry's name and when it runs: one function may stand in several entries."""
    times = (entry.month, entry.day, entry.weekday, entry.hour, entry.minute, entry.second, entry.microsecond)
    return " ".join([entry.name, *(_text_of(value) for value in times)])


def _text_of(value: object) -> str:
    return ",".join(sorted(map(str, cast("Any", value)))) if isinstance(value, set | list | tuple) else str(value)
