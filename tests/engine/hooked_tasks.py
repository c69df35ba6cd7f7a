"""A task with everything around it, for child processes: its hooks hold where this is imported."""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from jobsd import PlainContext, around_run, carry, dependency, request_id, task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

tenant: ContextVar[str] = carry(ContextVar("tenant"))


@dependency
async def greeting() -> AsyncIterator[str]:
    yield "hello"


@around_run
async def stamped(ctx: Any, call_next: Any) -> dict[str, Any]:
    return {**await call_next(), "stamp": ctx.job_id}


@task("hooked:look", executor="process")
def look(ctx: PlainContext) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "tenant": tenant.get(None),
        "request_id": request_id.get(None),
        "headers": dict(ctx.headers),
        "greeting": ctx.use(greeting),
    }
