"""What a running task is handed: arq's ``ctx`` dictionary, with attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic, utc_from_ms
from jobsd.logger import log

if TYPE_CHECKING:
    import structlog

    from jobsd.client import Client, JobRef
    from jobsd.store.jobs import Jobs, Lease

_PROGRESS_EVERY_S = 0.2


class Context(dict[str, Any]):
    """The worker's dictionary (start hooks put pools and clients there) and the facts of this attempt.

    As in arq: ``ctx["job_id"]``, ``ctx["job_try"]``, ``ctx["enqueue_time"]``, ``ctx["score"]``.
    """

    __slots__ = ("_enqueued_at", "_jobs", "_lease", "_progress_at", "task")

    def __init__(self, shared: dict[str, Any], jobs: Jobs, lease: Lease, task: str, enqueued_at: int) -> None:
        super().__init__(shared, job_id=lease.id, job_try=lease.attempt, score=lease.due)
        self._jobs = jobs
        self._lease = lease
        self._enqueued_at = enqueued_at
        self._progress_at = 0.0
        self.task = task

    def __missing__(self, key: str) -> Any:
        if key == "enqueue_time":  # made when asked for: few tasks ask
            return utc_from_ms(self._enqueued_at)
        raise KeyError(key)

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
        return log.bind(job_id=self.job_id, task=self.task, queue=self.queue, attempt=self.attempt)

    @property
    def redis(self) -> Any:
        """The worker's Redis client."""
        return self._jobs.redis

    @property
    def db(self) -> Any:
        """The Postgres pool (asyncpg). Raises KeyError when no database is configured."""
        return self["db"]

    async def enqueue(self, task: Any, /, *args: Any, **kwargs: Any) -> JobRef[Any]:
        """Enqueue another job; see Client.enqueue."""
        client: Client = self["client"]
        return await client.enqueue(task, *args, **kwargs)

    async def progress(self, done: int, total: int) -> None:
        """Publish how far the job is. Written at most five times a second, and at the end."""
        now = monotonic()
        if done < total and now - self._progress_at < _PROGRESS_EVERY_S:
            return
        self._progress_at = now
        await self._jobs.progress(self._lease, done, total)
