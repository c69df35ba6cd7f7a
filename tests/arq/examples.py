# ruff: noqa: RUF012 - classes as arq's users write them
"""Modules as arq's users write them, after the examples of its documentation: nothing here knows jobsd.

Their WorkerSettings run as they are, in the test's process and under ``jobsd run``.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgpack
from arq import Retry, cron


class Session:
    """Stands for a client of the web."""

    def __init__(self) -> None:
        self.asked = 0
        self.open = True

    async def get(self, url: str) -> int:
        self.asked += 1
        return 503 if "busy" in url and self.asked < 3 else 200

    async def aclose(self) -> None:
        self.open = False


# --- a first worker: a function, and what its jobs share ----------------------------------------------


async def download(ctx, url):
    status = await ctx["session"].get(url)
    return f"{url}: {status}"


async def startup(ctx):
    ctx["session"] = Session()


async def shutdown(ctx):
    await ctx["session"].aclose()


class QuickStart:
    functions = [download]
    on_startup = startup
    on_shutdown = shutdown


# --- retries with a growing delay ---------------------------------------------------------------------


async def insist(ctx, url):
    if await ctx["session"].get(url) != 200:
        raise Retry(defer=ctx["job_try"] * 0.05)
    return ctx["job_try"]


class Retries:
    functions = [insist]
    on_startup = startup
    on_shutdown = shutdown


# --- deferred jobs, and ids of one's own --------------------------------------------------------------


async def note(ctx):
    return ctx["job_id"]


class Deferred:
    functions = [note]


# --- aborting -----------------------------------------------------------------------------------------


async def stuff(ctx):
    print("at it", flush=True)  # noqa: T201 - as in the documentation
    await asyncio.sleep(600)
    return "done"


class Aborts:
    functions = [stuff]
    allow_abort_jobs = True


# --- cron, with no function beside --------------------------------------------------------------------


async def regularly(ctx):
    await ctx["redis"].incr("regularly")


class Crons:
    cron_jobs = [cron(regularly, second=set(range(60)))]


# --- another serialiser -------------------------------------------------------------------------------


async def answer(ctx):
    return 42


class Msgpack:
    functions = [answer]
    job_serializer = msgpack.packb
    job_deserializer = lambda b: msgpack.unpackb(b, raw=False)  # noqa: E731 - as in the documentation


# --- code that blocks, in a pool ----------------------------------------------------------------------


def compute(n):
    return sum(range(n))


async def in_a_pool(ctx, n):
    return await asyncio.get_running_loop().run_in_executor(ctx["pool"], compute, n)


async def open_pool(ctx):
    ctx["pool"] = ThreadPoolExecutor(1)


async def close_pool(ctx):
    ctx["pool"].shutdown()


class Blocking:
    functions = [in_a_pool]
    on_startup = open_pool
    on_shutdown = close_pool


# --- what does not work -------------------------------------------------------------------------------


class Empty:
    max_jobs = 3


class Wrong:
    functions = [compute]


not_a_class = 7
