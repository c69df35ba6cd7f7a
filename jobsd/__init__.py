"""jobsd: an asyncio-native worker daemon.

    from jobsd import Context, enqueue, task

    @task("email:send", timeout="30s")
    async def send_email(ctx: Context, to: str, subject: str) -> None: ...

    ref = await enqueue(send_email, "a@example.com", subject="Hi")

Importing a name imports no more than it needs: a service that only enqueues pays for the client alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobsd.aggregation import Aggregate, aggregate
    from jobsd.ambient import enqueue, enqueue_many
    from jobsd.client import Client, JobRef
    from jobsd.context import Context
    from jobsd.definition import Task, task
    from jobsd.delays import exponential, fixed, linear
    from jobsd.engine.arq_worker import Worker
    from jobsd.errors import JobsdError
    from jobsd.job import CancelState, JobRequest, JobState
    from jobsd.outcome import Drop, Retry, SkipRetry, Snooze

__version__ = "0.1.0"

_HOMES = {
    "Aggregate": "aggregation",
    "CancelState": "job",
    "Client": "client",
    "Context": "context",
    "Drop": "outcome",
    "JobRef": "client",
    "JobRequest": "job",
    "JobState": "job",
    "JobsdError": "errors",
    "Retry": "outcome",
    "SkipRetry": "outcome",
    "Snooze": "outcome",
    "Task": "definition",
    "Worker": "engine.arq_worker",
    "aggregate": "aggregation",
    "enqueue": "ambient",
    "enqueue_many": "ambient",
    "exponential": "delays",
    "fixed": "delays",
    "linear": "delays",
    "task": "definition",
}

__all__ = [
    "Aggregate",
    "CancelState",
    "Client",
    "Context",
    "Drop",
    "JobRef",
    "JobRequest",
    "JobState",
    "JobsdError",
    "Retry",
    "SkipRetry",
    "Snooze",
    "Task",
    "Worker",
    "aggregate",
    "enqueue",
    "enqueue_many",
    "exponential",
    "fixed",
    "linear",
    "task",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'jobsd' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"jobsd.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
