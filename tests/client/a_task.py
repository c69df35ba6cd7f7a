"""The task that the client's tests enqueue, and the queue where most of it goes."""

from __future__ import annotations

from jobsd.definition import Task

BASE = "jobsd:{main}:default"


async def _add(ctx, a: int, b: int = 0) -> int:
    return a + b


add = Task(_add, "add", queue="maths")
