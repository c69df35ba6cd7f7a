"""A server in trouble: answers lost, queues refused, nobody there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client
from jobsd.errors import (
    NotConfiguredError,
    UnknownQueueError,
    UnreachableError,
)
from jobsd.store.jobs import Jobs
from tests.client.a_task import BASE, add
from tests.client.proxy import Proxy

if TYPE_CHECKING:
    from pathlib import Path


# --- a server in trouble --------------------------------------------------------------------------


async def test_a_lost_answer_stores_one_job(redis_url: str, redis, tmp_path: Path) -> None:
    async with Proxy(redis_url, tmp_path / "proxy.sock") as proxy, Client(proxy.url) as client:
        await client.enqueue("warm")
        proxy.swallowing = 2
        reference = await client.enqueue("add", 1)
        many = await client.enqueue_many(add.job(n) for n in range(3))
        assert proxy.swallowed == 2
        assert not reference.duplicate
        assert not any(one.duplicate for one in many)
    assert await redis.zcard(BASE) == 2
    assert await redis.zcard("jobsd:{main}:maths") == 3


async def test_a_lost_answer_stores_one_job_though_it_has_run_and_left_no_trace_before_it_is_asked_for_again(
    redis_url: str, redis, tmp_path: Path
) -> None:
    async with Proxy(redis_url, tmp_path / "proxy.sock") as proxy, Client(proxy.url) as client:
        await client.enqueue("warm", _queue="other")
        send, calls = client._sending.jobs.enqueue, 0

        async def run_all_before_the_second_call(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 2:
                await redis.delete(BASE, *await redis.keys("arq:job:*"))
            return await send(*args)

        client._sending.jobs.enqueue = run_all_before_the_second_call  # type: ignore[method-assign]
        proxy.swallowing = 1
        assert not (await client.enqueue("add", 1)).duplicate
        assert calls == 2
    assert await redis.zcard(BASE) == 0


async def test_calls_of_many_coroutines_and_of_enqueue_many_at_the_same_time_are_all_stored(
    client: Client, redis
) -> None:
    calls = [client.enqueue_many(add.job(n) for n in range(1500)) for _ in range(3)]
    calls += [client.enqueue("add", n) for n in range(50)]
    answers = await asyncio.gather(*calls)
    assert not any(one.duplicate for answer in answers for one in (answer if isinstance(answer, list) else [answer]))
    assert await redis.zcard("jobsd:{main}:maths") == 4500
    assert await redis.zcard(BASE) == 50


async def test_a_queue_that_no_daemon_serves_is_refused_by_name_where_daemons_say_so(client: Client, redis) -> None:
    await Jobs(redis).announce("w1", {"pid": "1"}, ["critical", "default"], "refuse")
    right, wrong = client.enqueue("add", 1), client.enqueue("add", 2, _queue="defualt")
    stored, refused = await asyncio.gather(right, wrong, return_exceptions=True)
    assert isinstance(refused, UnknownQueueError)
    assert "no daemon serves a queue 'defualt'; did you mean 'default'?" in str(refused)
    assert not stored.duplicate
    assert await redis.zcard(BASE) == 1


async def test_of_many_jobs_none_is_stored_when_the_queue_of_one_is_unknown(client: Client, redis) -> None:
    await Jobs(redis).announce("w1", {"pid": "1"}, ["maths"], "refuse")
    with pytest.raises(UnknownQueueError, match="no daemon serves a queue 'nowhere'; known are maths"):
        await client.enqueue_many([add.job(1), add.opts(queue="nowhere").job(2)])
    assert await redis.keys("arq:job:*") == []


async def test_a_lost_answer_about_a_duplicate_is_still_one(redis_url: str, tmp_path: Path) -> None:
    async with Proxy(redis_url, tmp_path / "proxy.sock") as proxy, Client(proxy.url) as client:
        await client.enqueue("add", 1, _id="mine")
        proxy.swallowing = 1
        assert (await client.enqueue("add", 2, _id="mine")).duplicate
        proxy.swallowing = 1
        assert not (await client.enqueue("add", 3, _id="other")).duplicate


async def test_a_server_that_never_answers_is_unreachable_for_every_caller(tmp_path: Path) -> None:
    async with Client(f"unix://:secret@{tmp_path}/nobody.sock") as client:
        answers = await asyncio.gather(*(client.enqueue("add", n) for n in range(3)), return_exceptions=True)
    for answer in answers:
        assert isinstance(answer, UnreachableError)
        assert answer.exit_code == 3
        assert "***" in answer.url
        assert "secret" not in f"{answer}{answer!r}{answer.__cause__}"


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", ""])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(NotConfiguredError, match="redis://, rediss:// or unix://"):
        Client(url)
