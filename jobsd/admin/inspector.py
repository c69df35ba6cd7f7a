"""Every question a person asks of the queues, and every order, in one place: commands and pages go through here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobsd.admin.limiting import told, understood
from jobsd.clock import now_ms, utc_from_ms
from jobsd.errors import JobNotFoundError, KeyHeldError, NotArchivedError, UnknownQueueError
from jobsd.job import JobState
from jobsd.store.backlog import limit_of, share_of
from jobsd.store.codec import UndecodableError, decode_payload, decode_result
from jobsd.store.limits import RESOURCE, Limits, changes
from jobsd.store.looks import lane_of, noted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobsd.store.jobs import Jobs

_HELD = 2  # rerun.lua's answer
_ENDED = (JobState.COMPLETED, JobState.ARCHIVED)
_WAITING = (JobState.PENDING, JobState.SCHEDULED, JobState.RETRY)


@dataclass(frozen=True)
class QueueFacts:
    """Counts of jobs by state; ``processed`` and ``failed`` are totals; latency is the age of the oldest due job."""

    queue: str
    pending: int
    active: int
    scheduled: int
    retry: int
    parked: int
    archived: int
    completed: int
    processed: int
    failed: int
    latency_ms: int
    paused: bool
    served: bool
    """Whether a live worker takes jobs from it."""
    limits: dict[str, int | str]
    """Those in effect, in the words of the settings."""


@dataclass(frozen=True)
class RecordFacts:
    """The records that wait for the ledger: ``entries`` are batches, the oldest of them waits since ``oldest_age_ms``.

    ``limit_bytes`` is how much may wait before fewer jobs are claimed, ``claims_percent`` how much of what could be
    claimed is by that; ``maxmemory`` is the server's limit in bytes, 0 for none.
    """

    entries: int
    bytes: int
    oldest_age_ms: int | None
    maxmemory: int
    limit_bytes: int
    claims_percent: int


class Inspector:
    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._looks = jobs.looks

    async def queues(self) -> list[QueueFacts]:
        """Return the facts of every queue that was ever used."""
        served, queues = await self._looks.served(), await self._looks.queues()
        texts = await self._looks.limits(queues)
        return [await self._facts(queue, texts[queue], served=queue in served) for queue in queues]

    async def _facts(self, queue: str, limits: str, *, served: bool) -> QueueFacts:
        now = now_ms()
        counts = await self._looks.counts(queue, now=now)
        return QueueFacts(
            queue=queue,
            # What is due and leased stands in the same zset; the lease's end is in the future.
            pending=counts.due,
            active=counts.active,
            scheduled=max(0, counts.future - counts.active - counts.retry),
            retry=counts.retry,
            parked=counts.parked,
            archived=counts.archived,
            completed=counts.completed,
            processed=counts.processed,
            failed=counts.failed,
            latency_ms=max(0, now - counts.oldest) if counts.due and counts.oldest is not None else 0,
            paused=counts.paused,
            served=served,
            limits=told(Limits.from_text(limits)),
        )

    async def records(self, limit: str = "25%") -> RecordFacts:
        """Return how much waits for the ledger. ``limit`` is the setting ``records.backlog``."""
        waiting = await self._looks.backlog()
        most = limit_of(limit, waiting.maxmemory)
        return RecordFacts(
            entries=waiting.entries,
            bytes=waiting.bytes,
            oldest_age_ms=waiting.oldest_age_ms,
            maxmemory=waiting.maxmemory,
            limit_bytes=most,
            claims_percent=round(share_of(waiting.bytes, most) * 100),
        )

    async def pause(self, queue: str) -> bool:
        """Let the queue hand out no jobs; what runs goes on. False if it was paused already."""
        return await self._jobs.pause(queue, paused=True)

    async def resume(self, queue: str) -> bool:
        """Let a paused queue hand out jobs again; False if it was not paused."""
        return await self._jobs.pause(queue, paused=False)

    async def limits(self, name: str, *, resource: bool = False) -> dict[str, int | str]:
        """Return what limits a queue, or a resource, at this time. Raises UnknownQueueError."""
        key = await self._key(name, resource=resource)
        return told(Limits.from_text((await self._looks.limits([key]))[key]), resource=resource)

    async def limit(
        self, name: str, given: Mapping[str, str], *, resource: bool = False, zone: str = "UTC"
    ) -> dict[str, int | str]:
        """Set some limits until ``reset``, "none" taking one away; the others stay. Return those in effect.

        Hours are those of ``zone`` if they name none. Raises InvalidOptionError or UnknownQueueError.
        """
        text = changes(understood(given, resource=resource, zone=zone))
        now = await self._jobs.limit(await self._key(name, resource=resource), "set", text)
        return told(Limits.from_text(now), resource=resource)

    async def reset(self, name: str, *, resource: bool = False) -> dict[str, int | str]:
        """Let the configuration decide again; return what limits there are. Raises UnknownQueueError."""
        now = await self._jobs.limit(await self._key(name, resource=resource), "reset", "")
        return told(Limits.from_text(now), resource=resource)

    async def _key(self, name: str, *, resource: bool) -> str:
        if resource:
            return RESOURCE + name
        known = await self._looks.queues()
        if name not in known:
            raise UnknownQueueError(queue=name, known=known)
        return name

    async def list(self, queue: str, state: JobState, *, limit: int) -> list[dict[str, Any]]:
        """Return jobs in one state: waiting ones by due time, ended ones the latest first."""
        found = await self._looks.members(queue, state, now=now_ms(), limit=limit)
        return [await self._line(queue, state, job_id, at) for job_id, at in found]

    async def show(self, queue: str | None, job_id: str) -> dict[str, Any]:
        """Return all that is known of one job, in that queue or in whichever it is. Raises JobNotFoundError."""
        queue, state = await self._found(queue, job_id)
        stored, side = await self._stored(queue, state, job_id)
        facts: dict[str, Any] = {"id": job_id, "queue": queue, "state": str(state), **_described(stored)}
        names = {"n": "attempts", "f": "failures", "l": "losses", "x": "interruptions", "p": "progress"}
        facts |= {name: side[short] for short, name in names.items() if short in side}
        if state is JobState.COMPLETED:
            facts |= _completed(stored)
        due = side.get("due") or (await self._looks.due(queue, job_id) if state in _WAITING else None)
        if due is not None:
            facts["due"] = _instant(due)
        if state is JobState.PENDING and (lane := lane_of(stored)):
            facts["limited_by"] = _limits(lane)
        if state is JobState.PARKED:
            facts["waits_for"] = await self._waits_for(queue, job_id)
        if error := side.get("e"):
            facts["last_error"] = f"{error[0]}: {error[1]}"
        if trace := side.get("trace"):
            facts["trace"] = trace
        return facts

    async def _found(self, queue: str | None, job_id: str) -> tuple[str, JobState]:
        """Return where the job is; an id that is used again may be in the archive of one queue, and live in another."""
        names = await self._looks.queues() if queue is None else [queue]
        states = [(name, await self._looks.state(name, job_id, now=now_ms())) for name in names]
        found = [(name, state) for name, state in states if state is not JobState.UNKNOWN]
        if not found:
            raise JobNotFoundError(job_id=job_id, queue=queue)
        return next((place for place in found if place[1] not in _ENDED), found[0])

    async def retry(self, queue: str, job_id: str) -> None:
        """Run an archived job again, with a fresh count of retries.

        Raises JobNotFoundError, NotArchivedError, or KeyHeldError.
        """
        if rerun := await self._jobs.rerun(queue, job_id):
            if rerun == _HELD:
                raise KeyHeldError(job_id=job_id)
            return
        state = await self._looks.state(queue, job_id, now=now_ms())
        if state is JobState.UNKNOWN:
            raise JobNotFoundError(job_id=job_id, queue=queue)
        raise NotArchivedError(job_id=job_id, state=state)

    async def _line(self, queue: str, state: JobState, job_id: str, at: int) -> dict[str, Any]:
        stored, side = await self._stored(queue, state, job_id)
        error = side.get("e")
        attempt = side.get("n", 0)
        if state is JobState.COMPLETED:
            result = decode_result(stored or b"")
            at, attempt = result.finished_at or at, result.attempt
        elif state is JobState.ACTIVE:
            at, attempt = await self._looks.started(job_id) or (at, attempt + 1)
        message = f"{error[0]}: {error[1]}" if error else side.get("message")
        if state is JobState.PARKED:
            message = f"waits for {await self._waits_for(queue, job_id)}"
        return {
            "id": job_id,
            "task": _described(stored).get("task"),
            "at": utc_from_ms(at).astimezone().isoformat(sep=" ", timespec="seconds"),
            "attempt": attempt,
            "message": message,
        }

    async def _waits_for(self, queue: str, job_id: str) -> str:
        free = await self._looks.waits_for_child(queue, job_id)
        return "a free child process" if free else "a daemon that knows its task"

    async def _stored(self, queue: str, state: JobState, job_id: str) -> tuple[bytes | None, dict[str, Any]]:
        if state is JobState.ARCHIVED:
            payload, info = await self._looks.dead(queue, job_id)
            return payload, noted(info)
        if state is JobState.COMPLETED:
            return await self._looks.result(job_id), {}
        return await self._looks.payload(job_id), await self._looks.side(queue, job_id)


def _described(payload: bytes | None) -> dict[str, Any]:
    try:
        job = decode_payload(payload)
    except UndecodableError as error:
        return {"task": None, "payload": str(error)}
    return {"task": job.task, "args": list(job.args), "kwargs": job.kwargs, "enqueued": _instant(job.enqueued_at)}


def _limits(lane: str) -> str:
    """Say which limits of its own a job waits under; those of its queue come on top."""
    words = {"k": "limit key", "r": "resource"}
    return " and ".join(f"{words[limit[0]]} {limit[2:]}" for limit in lane.split(","))


def _completed(stored: bytes | None) -> dict[str, Any]:
    result = decode_result(stored or b"")
    facts: dict[str, Any] = {"attempts": result.attempt, "result": result.value}
    return facts | ({"finished": _instant(result.finished_at)} if result.finished_at else {})


def _instant(ms: int) -> str:
    return utc_from_ms(ms).isoformat(timespec="milliseconds")
