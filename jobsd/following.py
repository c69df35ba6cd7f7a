"""What becomes of jobs, as their callers ask: where they are, what they returned, and that they are to end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

from jobsd.addresses import masked
from jobsd.clock import monotonic, now_ms
from jobsd.duration import ALLOWED as DURATION_ALLOWED
from jobsd.duration import parse_duration
from jobsd.errors import InvalidOptionError, JobCancelledError, JobFailedError, JobNotFoundError, UnreachableError
from jobsd.job import CancelState, JobState
from jobsd.store.cancels import Cancels
from jobsd.store.codec import decode_result, incarnation_at_start
from jobsd.store.connection import AWAY, REFUSED, connect, is_away
from jobsd.store.looks import Looks, noted

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from datetime import timedelta

Timeout: TypeAlias = "float | str | timedelta | None"
_FIRST_POLL_S = 0.005
_LONGEST_POLL_S = 0.25
_COMES_WITHIN_S = 10.0
_CANCELLED = "CancelledError"  # the type of the error that the result of a cancelled job holds


class Following:
    """Belongs to one event loop, which its owner sees to. Every question may raise UnreachableError."""

    def __init__(self, url: str, *, shard: str) -> None:
        self._url = url
        self._redis = connect(url, waiting=True)  # as many callers as there are results waited for
        self._cancels = Cancels(self._redis, shard)
        self.looks = Looks(self._redis, shard=shard)

    async def state(self, queue: str, job_id: str) -> JobState:
        return await self._reach(self.looks.state(queue, job_id, now=now_ms()))

    async def progress(self, queue: str, job_id: str) -> tuple[int, int] | None:
        found = (await self._reach(self.looks.side(queue, job_id))).get("p")
        return (found[0], found[1]) if found else None

    async def result(
        self,
        queue: str,
        job_id: str,
        timeout: Timeout,  # noqa: ASYNC109 - as in JobRef
        incarnation: str | None = None,
    ) -> Any:
        """See JobRef.result. One with an ``incarnation`` is of the outbox: it may still come, or come back."""
        timeout_s = _seconds(timeout)
        pauses = _Pauses(timeout_s)
        seen_at = monotonic()
        while True:
            stored = await self._result_of(job_id, incarnation)
            if stored is not None:
                return await self._opened(queue, job_id, stored)
            # Looked at again after the state: a job may end between the two.
            state = await self.state(queue, job_id)
            if incarnation and state is JobState.ARCHIVED and not await self._is_archived(queue, job_id, incarnation):
                state = JobState.UNKNOWN
            if state is JobState.UNKNOWN and await self._result_of(job_id, incarnation) is None:
                if incarnation is None or monotonic() >= seen_at + _COMES_WITHIN_S:
                    raise JobNotFoundError(job_id=job_id, queue=queue)
            else:
                seen_at = monotonic()
            if state is JobState.ARCHIVED:
                raise await self._failure(queue, job_id)
            if not await pauses.pause():
                hint = " (has the transaction committed?)" if state is JobState.UNKNOWN else ""
                msg = f"job {job_id} is {state} after {timeout_s:g} s{hint}"
                raise TimeoutError(msg)

    async def cancel(
        self,
        queue: str,
        job_id: str,
        timeout: Timeout,  # noqa: ASYNC109 - as in JobRef
        incarnation: str | None = None,
    ) -> CancelState:
        """See JobRef.cancel. A job of the outbox, which has an ``incarnation``, is waited for."""
        timeout_s = _seconds(timeout)
        pauses = _Pauses(timeout_s)
        if incarnation is not None:
            while not await self._has_come(queue, job_id, incarnation) and await pauses.pause():
                pass
        said = await self._reach(self._cancels.ask(queue, job_id))
        if said == "unknown":
            raise JobNotFoundError(job_id=job_id, queue=queue)
        if said == "cancelled":
            return CancelState.CANCELLED
        if said == "ended":
            return await self._ended_as(queue, job_id)
        while await pauses.pause():
            running = await self._reach(self._cancels.state(job_id))
            if running is None:
                return await self._ended_as(queue, job_id)
            said = running
        return CancelState(said)

    async def close(self) -> None:
        await self._redis.aclose()

    async def _result_of(self, job_id: str, incarnation: str | None) -> bytes | None:
        """Return the job's result, unless it is that of an earlier job with its id."""
        stored = await self._reach(self.looks.result(job_id))
        return stored if _is_of(stored, incarnation) else None

    async def _is_archived(self, queue: str, job_id: str, incarnation: str | None) -> bool:
        """Say whether what the archive has of this id is the job, and no earlier one."""
        payload, _ = await self._reach(self.looks.dead(queue, job_id))
        return _is_of(payload, incarnation)

    async def _has_come(self, queue: str, job_id: str, incarnation: str) -> bool:
        """Say whether Redis knows of the job."""
        if await self._result_of(job_id, incarnation) is not None:
            return True
        payload = await self._reach(self.looks.payload(job_id))
        return _is_of(payload, incarnation) or await self._is_archived(queue, job_id, incarnation)

    async def _ended_as(self, queue: str, job_id: str) -> CancelState:
        archived = await self._archived(queue, job_id)
        return CancelState.CANCELLED if archived.get("outcome") == "cancelled" else CancelState.ENDED

    async def _archived(self, queue: str, job_id: str) -> dict[str, Any]:
        """Return what the archive keeps of a job."""
        _, info = await self._reach(self.looks.dead(queue, job_id))
        return noted(info)

    async def _opened(self, queue: str, job_id: str, stored: bytes) -> Any:
        result = decode_result(stored)
        if result.success:
            return result.value
        failed = JobFailedError
        if result.error_type == _CANCELLED:  # which a task may raise of its own accord, too
            archived = await self._archived(queue, job_id)
            failed = JobCancelledError if archived.get("outcome", "cancelled") == "cancelled" else failed
        raise failed(job_id=job_id, message=result.message, error_type=result.error_type)

    async def _failure(self, queue: str, job_id: str) -> JobFailedError:
        """Tell from the archive what a job failed of whose result is not kept."""
        archived = await self._archived(queue, job_id)
        error = archived.get("e") or [None, "it is archived"]
        failed = JobCancelledError if archived.get("outcome") == "cancelled" else JobFailedError
        return failed(job_id=job_id, message=str(error[1]), error_type=error[0])

    async def _reach(self, call: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await call
        except (*AWAY, REFUSED) as error:
            if not is_away(error):
                raise
            raise UnreachableError(server="Redis", url=masked(self._url), cause=str(error) or repr(error)) from error


def _is_of(stored: bytes | None, incarnation: str | None) -> bool:
    """Say whether this payload, or result, is that of the job; without an ``incarnation`` any is."""
    return stored is not None and (not incarnation or incarnation_at_start(stored) == incarnation)


def _seconds(timeout: object) -> float | None:
    """Return how long to wait: a number of seconds, a duration, or None for as long as it takes."""
    if timeout is None:
        return None
    if isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout >= 0:
        return float(timeout)
    try:
        return parse_duration(timeout).total_seconds()
    except ValueError:
        allowed = f"a number of seconds, {DURATION_ALLOWED}, or None"
        raise InvalidOptionError(option="timeout", given=timeout, allowed=allowed) from None


class _Pauses:
    """Pauses between looks, each longer than the last, until the time is over."""

    def __init__(self, timeout_s: float | None) -> None:
        self._ends_at = None if timeout_s is None else monotonic() + timeout_s
        self._next_s = _FIRST_POLL_S

    async def pause(self) -> bool:
        """Return True after a pause, and False at once when the time is over."""
        left = None if self._ends_at is None else self._ends_at - monotonic()
        if left is not None and left <= 0:
            return False
        await asyncio.sleep(self._next_s if left is None else min(self._next_s, left))
        self._next_s = min(self._next_s * 1.5, _LONGEST_POLL_S)
        return True
