"""What can be seen of the daemons under a supervisor: their processes, and the code that they run."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Daemon

# The tasks of a shop whose code changes. Each run is counted by its job, with the version of the code and the instant.
_SHOP = """
import asyncio, time
from pathlib import Path
from jobsd import Context, task

VERSION = {version!r}

@task("version")
async def version(ctx: Context) -> str:
    return VERSION

@task("count")
async def count(ctx: Context, seconds: float) -> None:
    await asyncio.sleep(seconds)
    async with ctx.redis.pipeline() as both:
        both.hincrby("effects", ctx.job_id, 1)
        both.rpush("ends", f"{{time.time()}} {{VERSION}}")
        await both.execute()

@task("wait", timeout="5m")
async def wait(ctx: Context, gate: str) -> None:
    await ctx.redis.hset("where", gate, ctx.token.partition(":")[0])
    while not Path(gate).exists():
        await asyncio.sleep(0.01)
"""


def write_shop(place: Path, version: str, first: str = "") -> None:
    """Write the module shop, with ``first`` at its top; another version is of another length, as .pyc files need it."""
    (place / "shop.py").write_text(f"{first}\n{_SHOP.format(version=version)}")


def pid_of(started: dict[str, Any]) -> int:
    """Return the pid in the worker's id of a line daemon.started."""
    return int(started["worker"].split("-")[-2])


def started(supervisor: Daemon, number: int) -> list[dict[str, Any]]:
    """Return the lines daemon.started of all that were daemon ``number``."""
    return [line for line in supervisor.lines if line["event"] == "daemon.started" and line["daemon"] == number]


def lives(pid: int) -> bool:
    """Whether the process runs; a zombie, whose end nobody has asked about, does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1] not in {"", "Z"}
