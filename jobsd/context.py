"""What a running task is handed: arq's ``ctx`` dictionary, with attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic, utc_from_ms
from jobsd.errors import NotConfiguredError
from jobsd.events import Event

if TYPE_CHECKING:
    import structlog

    from jobsd.client import Client, JobRef
    from jobsd.store.jobs import Jobs, Lease

_PROGRESS_EVERY_S = 0.2


class Context(dict[str, Any]):
    """The worker's dictionary (start hooks put pools and clients there) and the facts of this attempt.

    As in arq: ``ctx["job_id"]``, ``ctx["job_try"]``, ``ctx["enqueue_time"]``, ``ctx["score"]``.
    """

    __slots__ = ("_jobs", "_lease", "_progress_at", "_whole", "task")

    def __init__(self, shared: dict[str, Any], jobs: Jobs, lease: Lease, task: str, enqueued_at: int) -> None:
        super().__init__(
            shared, job_id=lease.id, job_try=lease.attempt, enqueue_time=utc_from_ms(enqueued_at), score=lease.due
        )
        self._jobs = jobs
        self._lease = lease
        self._progress_at = 0.0
        self._whole = False
        self.task = task

    @property
    def job_id(self) -> str:
        return self._lease.id

    @property
    def attempt(self) -> int:
        """The number of this run; the first is 1."""
        return self._lease.attempt

    @property
    def queue(self) -> str:
        return self._lease.queue

    @property
    def token(self) -> str:
        """What proves this attempt's right to run; new on each attempt."""
        return self._lease.mark

    @property
    def log(self) -> structlog.stdlib.BoundLogger:
        """The logger, bound to this job."""
        from jobsd.logger import log  # noqa: PLC0415 - a service that only shares the tasks' module has no structlog

        return log.bind(job_id=self.job_id, task=self.task, queue=self.queue, attempt=self.attempt)

    @property
    def redis(self) -> Any:
        """The worker's Redis client."""
        return self._jobs.redis

    @property
    def db(self) -> Any:
        """The Postgres pool (asyncpg). Raises NotConfiguredError when no database is configured."""
        if "db" not in self:
            raise NotConfiguredError(what="Postgres", ways="set JOBSD_DATABASE_URL for the daemon")
        return self["db"]

    async def enqueue(self, task: Any, /, *args: Any, **kwargs: Any) -> JobRef[Any]:
        """Enqueue another job; see Client.enqueue."""
        client: Client = self["client"]
        return await client.enqueue(task, *args, **kwargs)

    async def progress(self, done: int, total: int) -> None:
        """Publish how far the job is. Written at most five times a second, and at the end.

        It is information: when Redis does not take it, the job goes on.
        """
        now = monotonic()
        if now - self._progress_at < _PROGRESS_EVERY_S and (done != total or self._whole):
            return
        self._progress_at, self._whole = now, done == total
        try:
            await self._jobs.progress(self._lease, done, total)
        except Exception as error:  # noqa: BLE001 - see above
            self.log.debug(Event.PROGRESS_UNSAID, cause=repr(error))
