"""One run of one job, as the worker holds it while it lasts."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from jobsd.clock import monotonic

if TYPE_CHECKING:
    import asyncio

    from jobsd.definition import Task
    from jobsd.engine.decide import Policy
    from jobsd.store.codec import Payload
    from jobsd.store.jobs import Lease


class Stop(Enum):
    """Why a running function was cancelled: the reason is a value, so that it is never guessed."""

    TIMEOUT = "timeout"
    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease lost"
    CANCELLED = "cancelled"
    ABORTED = "aborted"
    """By arq's ``Job.abort()``: an error of the function's own then stands, by arq's rule."""


class Attempt:
    """Slotted and mutable: it lives on the path of every job."""

    __slots__ = (
        "began",
        "called_at",
        "cleared",
        "doubts",
        "lease",
        "losses",
        "may_be_done",
        "payload",
        "policy",
        "resisting",
        "running",
        "runs_in",
        "stop",
        "task",
        "timeout_ms",
    )

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.began = monotonic()
        self.payload: Payload | None = None
        self.task: Task[..., object] | None = None
        self.policy: Policy | None = None
        self.timeout_ms = 0
        self.runs_in: asyncio.Task[None] | None = None
        self.running = False
        self.called_at: float | None = None
        """When the function was: before that the job can go back as if nothing had been."""
        self.cleared = False
        """It was suspected of its process's death, ran apart from others, and came to an end of its own."""
        self.losses = 0
        """Earlier runs of the job that were lost with their process: it may be what that died of."""
        self.may_be_done = False
        """An earlier run may have committed the job's effect: Postgres is asked before the function is called."""
        self.doubts = 0
        """How often nobody could say so far whether it has; until Postgres does, the function is not called."""
        self.stop: Stop | None = None
        self.resisting = False

    @property
    def now(self) -> int:
        """Epoch ms by the server's clock: the instant of its answer and what has passed since."""
        return self.lease.answered_at + int((monotonic() - self.began) * 1000)

    @property
    def reason(self) -> str | None:
        """Why it was cancelled, in words."""
        return None if self.stop is None else self.stop.value

    def cancel(self, reason: Stop) -> None:
        """Cancel the function, once; the first reason counts.

        One that has not begun yet sees the reason when it does: a task cancelled before its first step
        would end without a word.
        """
        if self.stop is None:
            self.stop = reason
            if self.running and self.runs_in is not None:
                self.runs_in.cancel()
