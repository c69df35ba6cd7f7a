"""The bare ``enqueue()``: in programs of their own, since it lives with their environment and their loops."""

from __future__ import annotations

import os
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from jobsd.ambient import redis_url_of
from jobsd.errors import DisabledError

_TWICE = """
import asyncio
from jobsd import enqueue, enqueue_many
async def main():
    first = await asyncio.gather(*(enqueue("add", n) for n in range(20)))
    print(len({one.id for one in first}))
asyncio.run(main())
asyncio.run(main())
"""


def program(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh interpreter whose warnings are errors."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JOBSD_", "REDIS_"))}
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        env=kept | env,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    # What asyncio's debug mode says of a slow machine is no warning of ours: the first call imports.
    ended.stderr = "".join(
        line for line in ended.stderr.splitlines(keepends=True) if not line.startswith("Executing <")
    )
    return ended


async def test_a_program_with_two_loops_enqueues_and_closes_without_a_warning(redis_url: str, redis) -> None:
    ended = program(_TWICE, JOBSD_REDIS_URL=redis_url)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("20\n20\n", "", 0)
    assert await redis.zcard("jobsd:{main}:default") == 40


async def test_two_loops_at_the_same_time_have_a_client_each(redis_url: str, redis) -> None:
    code = """
import asyncio, threading
from jobsd import enqueue
async def main():
    await asyncio.gather(*(enqueue("add", n) for n in range(50)))
threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
"""
    ended = program(code, JOBSD_REDIS_URL=redis_url)
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert await redis.zcard("jobsd:{main}:default") == 200


async def test_a_program_that_is_cancelled_in_a_call_ends_without_a_warning(redis_url: str) -> None:
    code = """
import asyncio
from jobsd import enqueue
async def main():
    calls = [asyncio.create_task(enqueue("add", n)) for n in range(5)]
    await asyncio.sleep(0)
    raise SystemExit(5)
asyncio.run(main())
"""
    ended = program(code, JOBSD_REDIS_URL=redis_url)
    assert (ended.stderr, ended.returncode) == ("", 5)


async def test_a_client_that_was_closed_is_made_anew(redis_url: str) -> None:
    code = """
import asyncio
from jobsd import enqueue
from jobsd.ambient import close_default_client
async def main():
    await close_default_client()
    await enqueue("add")
    await close_default_client()
    await enqueue("add")
    print("fine")
asyncio.run(main())
"""
    ended = program(code, JOBSD_REDIS_URL=redis_url)
    assert (ended.stdout, ended.stderr) == ("fine\n", "")


_ONCE = """
import asyncio
from jobsd import JobsdError, enqueue
try:
    asyncio.run(enqueue("add"))
except JobsdError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({}, "NotConfiguredError no address for Redis: set JOBSD_REDIS_URL (or REDIS_HOST), or use Client(url)"),
        ({"REDIS_HOST": ""}, "NotConfiguredError"),
        ({"REDIS_ENABLE": "false", "JOBSD_REDIS_URL": "redis://h"}, "DisabledError the queue is switched off"),
        ({"JOBSD_REDIS_URL": "redis://:secret@127.0.0.1:1"}, "UnreachableError Redis at redis://:***@127.0.0.1:1 is"),
        ({"REDIS_HOST": "127.0.0.1", "REDIS_PORT": "1", "REDIS_PASSWORD": "p@ss"}, "at redis://:***@127.0.0.1:1/0"),
    ],
    ids=str,
)
def test_what_the_environment_lacks_is_said_in_words(env: dict[str, str], told: str, tmp_path) -> None:
    ended = program(_ONCE, JOBSD_STATE=str(tmp_path), **env)
    assert told in ended.stdout
    assert ended.stderr == ""


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, None),
        ({"REDIS_PORT": "6380"}, None),
        ({"REDIS_HOST": "cache"}, "redis://cache:6379/0"),
        ({"REDIS_HOST": "cache", "REDIS_PORT": "6380", "REDIS_DB": "3"}, "redis://cache:6380/3"),
        ({"REDIS_HOST": "cache", "REDIS_PASSWORD": "a/b@c:d#e%"}, "redis://:a%2Fb%40c%3Ad%23e%25@cache:6379/0"),
        ({"REDIS_HOST": "::1"}, "redis://[::1]:6379/0"),
        ({"REDIS_HOST": "cache", "JOBSD_REDIS_URL": "redis://other"}, "redis://other"),
        ({"REDIS_HOST": "cache", "REDIS_ENABLE": "true"}, "redis://cache:6379/0"),
    ],
    ids=str,
)
def test_the_address_follows_from_the_environment(env: dict[str, str], url: str | None) -> None:
    assert redis_url_of(env) == url
    if url is not None:
        assert urlsplit(url).port is None or urlsplit(url).port > 0


@pytest.mark.parametrize("no", ["false", "False", " 0 ", "no", "off"])
def test_a_queue_that_is_switched_off_has_no_address(no: str) -> None:
    with pytest.raises(DisabledError):
        redis_url_of({"REDIS_ENABLE": no, "JOBSD_REDIS_URL": "redis://cache"})


def test_a_client_that_is_used_in_a_second_loop_works_or_says_why(redis_url: str) -> None:
    code = f"""
import asyncio
from jobsd import Client, JobsdError
client = Client({redis_url!r})
asyncio.run(client.enqueue("add"))
try:
    asyncio.run(client.enqueue("add"))
except JobsdError:
    pass
"""
    assert program(code).returncode == 0
