"""Calls a task's function with its context: a coroutine here, a plain function in a thread, through the hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.context import Context
from jobsd.engine.threads import run_in_thread
from jobsd.headers import restore
from jobsd.hooks import run_hooks, run_through
from jobsd.logger import running_job

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from jobsd.definition import Task
    from jobsd.hooks import Opened
    from jobsd.store.codec import Payload
    from jobsd.store.jobs import Jobs, Lease


class Caller:
    """``shared`` is the dictionary that every task's context begins with; ``jobs`` is where progress is told."""

    def __init__(self, jobs: Jobs, shared: dict[str, Any], dependencies: Opened | None = None) -> None:
        self._jobs = jobs
        self._shared = shared
        self._dependencies = dependencies

    @property
    def db(self) -> Any:
        """What tasks have as ``ctx.db``, if they have any."""
        return self._shared.get("db")

    def call(
        self, task: Task[..., Any], lease: Lease, payload: Payload, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Awaitable[Any]:
        """Return an awaitable of what the task returns for these arguments; it raises what the task raises.

        Called, and awaited, in an asyncio task of the job's own: its context variables are set here.
        """
        headers = payload.headers
        ctx = Context(
            self._shared,
            self._jobs,
            lease,
            payload.task,
            payload.enqueued_at,
            headers,
            self._dependencies,
            payload.incarnation,
            payload.options,
        )
        running_job.set(ctx)
        if headers:
            restore(headers)
        if not run_hooks and not task.plain:
            return task.function(ctx, *args, **kwargs)  # not awaited here: this is the path of every job

        async def call() -> Any:
            if task.plain:
                return await run_in_thread(task.function, ctx, args, kwargs)
            return await task.function(ctx, *args, **kwargs)

        return run_through(ctx, call)
