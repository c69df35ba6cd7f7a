"""What runs beside each other: jobs that do nothing, and one that takes a whole CPU."""

from __future__ import annotations

import time

from benchmarks.meter import Meter
from jobsd import Context, PlainContext, task

meter = Meter()


@task("hog:arrive")
async def arrive(ctx: Context, sent_ns: int) -> None:
    del ctx
    meter.arrived(sent_ns)


@task("hog:in_child", executor="process", retries=0)
def in_child(ctx: PlainContext, seconds: float) -> None:
    ctx.wait(ctx.redis.set("hog:began", 1))
    burn(seconds)


@task("hog:in_thread", retries=0)
def in_thread(ctx: PlainContext, seconds: float) -> None:
    ctx.wait(ctx.redis.set("hog:began", 1))
    burn(seconds)


def burn(seconds: float) -> None:
    """Compute, in Python, for so long."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        sum(range(1000))
