"""A task that never lets go of the loop, the first time; tasks that say in which queue they ran."""

from __future__ import annotations

import time

from acceptance_tasks import tell  # a daemon finds it by its path

from jobsd import Context, task


@task("stalls_once", timeout="500ms", retries=0)
async def stalls_once(ctx: Context) -> str:
    tell(ctx, "started")
    if ctx.attempt == 1:
        time.sleep(3600)  # noqa: ASYNC251 - the mistake that the test is about
    return "well"
