"""python -m demo: a small shop's day in some seconds, on real servers and a real daemon.

__main__.py     the course of it; read this first
screen.py       the terminal, or what stands in for one
ground.py       a Valkey and a Postgres of its own, emptied
daemon.py       `jobsd run` as a process of its own, with jobsd.toml
shop.py         the shop's data, made and copied into Postgres
shop_tasks.py   what the daemon runs for the shop, beside tasks/
service.py      the other service: it only enqueues
view.py         what is seen meanwhile
outcome.py      what Postgres says of every job, compared with what was to be expected
report.py       what is said at the end
"""

from __future__ import annotations

import asyncio
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


class DemoError(Exception):
    """Something did not go as promised; the message is for the terminal."""


def heed_cancellation() -> None:
    """Raise CancelledError if this task was cancelled, in case that somebody has swallowed it.

    asyncio.wait_for does before Python 3.12, when what it waits for is done at the same moment; redis-py's writes
    go through it.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
