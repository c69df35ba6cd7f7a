"""The task of the measure ``lateness``: it notes how late it begins, in ms, by the clock on the wall."""

from __future__ import annotations

import time
from pathlib import Path

from jobsd import Context, task


@task("bench:note")
async def note(ctx: Context, file: str) -> None:
    now_s = time.time()
    assert ctx.due_at is not None
    with Path(file).open("a") as late:  # noqa: ASYNC230 - a line takes less than a switch to a thread
        late.write(f"{(now_s - ctx.due_at.timestamp()) * 1000:.3f}\n")
