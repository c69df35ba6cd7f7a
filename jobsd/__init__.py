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
    from jobsd.context import Context, PlainContext
    from jobsd.definition import Task, task
    from jobsd.delays import exponential, fixed, linear
    from jobsd.engine.arq_worker import Worker
    from jobsd.errors import JobsdError
    from jobsd.headers import carry, request_id, traceparent, tracestate
    from jobsd.hooks import Dependency, Opened, around_enqueue, around_run, dependency
    from jobsd.job import CancelState, JobRequest, JobState
    from jobsd.outcome import Drop, Retry, SkipRetry, Snooze
    from jobsd.schedule.in_code import cron
    from jobsd.schedule.job_class import BaseScheduledJob, db_context

__version__ = "0.1.0"

_HOMES = {
    "Aggregate": "aggregation",
    "BaseScheduledJob": "schedule.job_class",
    "CancelState": "job",
    "Client": "client",
    "Context": "context",
    "Dependency": "hooks",
    "Drop": "outcome",
    "JobRef": "client",
    "JobRequest": "job",
    "JobState": "job",
    "JobsdError": "errors",
    "Opened": "hooks",
    "PlainContext": "context",
    "Retry": "outcome",
    "SkipRetry": "outcome",
    "Snooze": "outcome",
    "Task": "definition",
    "Worker": "engine.arq_worker",
    "aggregate": "aggregation",
    "around_enqueue": "hooks",
    "around_run": "hooks",
    "carry": "headers",
    "cron": "schedule.in_code",
    "db_context": "schedule.job_class",
    "dependency": "hooks",
    "enqueue": "ambient",
    "enqueue_many": "ambient",
    "exponential": "delays",
    "fixed": "delays",
    "linear": "delays",
    "request_id": "headers",
    "task": "definition",
    "traceparent": "headers",
    "tracestate": "headers",
}

__all__ = [
    "Aggregate",
    "BaseScheduledJob",
    "CancelState",
    "Client",
    "Context",
    "Dependency",
    "Drop",
    "JobRef",
    "JobRequest",
    "JobState",
    "JobsdError",
    "Opened",
    "PlainContext",
    "Retry",
    "SkipRetry",
    "Snooze",
    "Task",
    "Worker",
    "aggregate",
    "around_enqueue",
    "around_run",
    "carry",
    "cron",
    "db_context",
    "dependency",
    "enqueue",
    "enqueue_many",
    "exponential",
    "fixed",
    "linear",
    "request_id",
    "task",
    "traceparent",
    "tracestate",
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
