"""Takes jobs in the place of Redis: everything up to the sending is done as ever, and then nothing is sent."""

from __future__ import annotations

import contextlib
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from jobsd.errors import JobCancelledError, JobFailedError, NotRunError
from jobsd.job import CancelState, JobState
from jobsd.testing.captured import CapturedJob, CapturedJobs

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from jobsd.client import Client, JobRef
    from jobsd.job import JobRequest
    from jobsd.store.jobs import NewJob

_open: list[CapturedJobs] = []
"""Captures of the whole process, the innermost last."""
_own: ContextVar[CapturedJobs | None] = ContextVar("jobsd_captured_by", default=None)
"""The capture of this context alone: of a job that runs in place, and what it starts."""
_lock = threading.Lock()
_holders = 0
_nowhere: Client | None = None


@contextlib.contextmanager
def capture() -> Generator[CapturedJobs]:
    """Capture all jobs that this process enqueues meanwhile, in every thread and by every client.

    Each is checked as by the client itself: arguments, options, size. No server is needed and none is spoken to. Inside
    another capture, the inner one has the jobs.
    """
    jobs = CapturedJobs()
    with _held():
        _open.append(jobs)
        try:
            yield jobs
        finally:
            _open[:] = [other for other in _open if other is not jobs]


@contextlib.contextmanager
def captured_by(jobs: CapturedJobs) -> Generator[None]:
    """Let ``jobs`` have what is enqueued in this context, whatever else captures."""
    with _held():
        before = _own.set(jobs)
        try:
            yield
        finally:
            _own.reset(before)


def is_captured() -> bool:
    """Say whether jobs that are enqueued here are captured."""
    return _innermost() is not None


def nowhere() -> Client:
    """Return a client for what is captured: it connects to nothing, and belongs to no loop."""
    global _nowhere  # noqa: PLW0603 - made once, and it holds nothing open
    from jobsd.client import Client  # noqa: PLC0415 - it brings redis along

    if _nowhere is None:
        _nowhere = Client("redis://nowhere.invalid")
    return _nowhere


@contextlib.contextmanager
def _held() -> Generator[None]:
    """Stand before Redis while anybody captures."""
    global _holders  # noqa: PLW0603 - as the seams, it is the process's
    from jobsd import ambient, client  # noqa: PLC0415 - it brings redis along

    with _lock:
        _holders += 1
        client.captor, ambient.captive = _captor, _captive
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if not _holders:
                client.captor = ambient.captive = None
                _captor.forget()


def _innermost() -> CapturedJobs | None:
    own = _own.get()
    return own if own is not None else _open[-1] if _open else None


def _captive() -> Client | None:
    return nowhere() if is_captured() else None


class _Captor:
    """Stands where a client has made a job and is about to send it."""

    def __init__(self) -> None:
        self._requests: dict[int, tuple[NewJob, JobRequest[Any]]] = {}

    def captures(self) -> bool:
        return is_captured()

    def made(self, request: JobRequest[Any], job: NewJob) -> None:
        """Note of which call a job was made; it is kept with it, so that its number stays its own."""
        if is_captured():
            self._requests[id(job)] = job, request

    def take(self, jobs: Sequence[NewJob]) -> list[JobRef[Any]] | None:
        """Capture jobs; None if nobody captures here, or nobody did when they were made."""
        captured = _innermost()
        if captured is None or not all(id(job) in self._requests for job in jobs):
            return None
        return [_put(captured, self._requests.pop(id(job))[1], job) for job in jobs]

    def forget(self) -> None:
        self._requests.clear()


_captor = _Captor()


def _put(jobs: CapturedJobs, request: JobRequest[Any], job: NewJob) -> JobRef[Any]:
    from jobsd.client import JobRef  # noqa: PLC0415 - it brings redis along

    known = next((one for one in jobs if one.id == job.id), None)
    captured: CapturedJob[Any] = known or CapturedJob(request, job)
    if known is None:
        jobs.append(captured)
    return JobRef(cast("Client", _Teller(captured)), job.id, captured.queue, duplicate=known is not None)


class _Teller:
    """What a reference to a captured job asks."""

    def __init__(self, job: CapturedJob[Any]) -> None:
        self._job = job

    def following(self) -> _Teller:
        return self

    async def state(self, _queue: str, _job_id: str) -> JobState:
        return self._job.state

    async def progress(self, _queue: str, _job_id: str) -> tuple[int, int] | None:
        return self._job.progress[-1] if self._job.progress else None

    async def result(self, _queue: str, job_id: str, _timeout: object, _incarnation: object) -> Any:
        job = self._job
        if job.state is JobState.COMPLETED:
            from pydantic_core import from_json  # noqa: PLC0415 - not needed to look at jobs

            from jobsd.secret_values import as_they_are  # noqa: PLC0415 - as above

            return from_json(as_they_are(job.result))  # as it comes from Redis
        if job.error is not None:
            raise JobFailedError(job_id=job_id, message=str(job.error), error_type=type(job.error).__name__)
        if job.state is JobState.ARCHIVED:
            raise JobCancelledError(job_id=job_id, message="cancelled")
        raise NotRunError(job_id=job_id, task=job.task)

    async def cancel(self, _queue: str, _job_id: str, _timeout: object, _incarnation: object) -> CancelState:
        if not self._job.waits:
            return CancelState.ENDED
        self._job.state = JobState.ARCHIVED
        return CancelState.CANCELLED
