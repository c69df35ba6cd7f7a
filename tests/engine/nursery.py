"""What tests of child processes share: tasks that a child can import, and workers that may start one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.daemon.child import child_setup
from jobsd.daemon.settings import Settings
from tests.engine import child_tasks
from tests.engine.hall import BASE

if TYPE_CHECKING:
    from jobsd.engine.children.process import ChildSetup

TASKS = [found for found in vars(child_tasks).values() if hasattr(found, "executor")]


def setup_of(url: str, *, database_url: str | None = None, tasks: str = "tests.engine.child_tasks") -> ChildSetup:
    setup = child_setup(Settings(tasks=[tasks]), redis_url=url, database_url=database_url)
    root = str(Path(__file__).parents[2])
    return setup._replace(facts={**setup.facts, "path": [root, *sys.path], "log_format": "json"})


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def are_parked(hall, count: int) -> bool:
    return await hall.redis.zcard(f"{BASE}:parked:executor:process") == count


async def seen_in(hall, name: str) -> int:
    return int(await hall.redis.get(f"seen:{name}") or 0)
