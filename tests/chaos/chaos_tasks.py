"""The tasks of these runs. Each says first that it has begun, in a file that no fault reaches."""

from __future__ import annotations

import asyncio
import os
import random

from jobsd import Context, fixed, task

# One short write at the end of a file is whole, whoever else writes, and survives the death of its process.
_begun = os.open(os.environ["CHAOS_BEGUN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
_FAILS_EVERY = 20
_LONGEST_S = 0.1


class NotYetError(Exception):
    """What the first attempt of some jobs ends with."""


@task("begin", retries=5, backoff=fixed("100ms"))
async def begin(ctx: Context, n: int, filler: str = "") -> int:
    os.write(_begun, f"{ctx.job_id} {ctx.attempt}\n".encode())
    await asyncio.sleep(random.uniform(0, _LONGEST_S))
    if n % _FAILS_EVERY == 0 and ctx.attempt == 1:
        raise NotYetError
    return n
