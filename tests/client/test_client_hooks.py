"""Hooks around enqueue, and headers, as the client's callers and the jobs see them."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import json
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobRef, aggregate, ambient, around_enqueue, carry, enqueue, request_id
from jobsd.errors import (
    HeadersTooLargeError,
    InvalidOptionError,
    UnreachableError,
    UnserializableHeaderError,
)
from jobsd.store.codec import decode_payload
from tests.client.a_task import add
from tests.registered import nothing_else_registered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from jobsd import JobRequest

tenant: ContextVar[str] = ContextVar("tenant")


@pytest.fixture(autouse=True)
def _own_hooks() -> Iterator[None]:
    with nothing_else_registered():
        yield


async def headers_of(redis: Redis, reference: JobRef[Any]) -> dict[str, Any]:
    return decode_payload(await redis.get(f"arq:job:{reference.id}")).headers


async def stored(redis: Redis) -> int:
    return len(await redis.keys("arq:job:*"))


async def test_headers_travel_behind_the_options_and_only_where_there_are_some(client, redis):
    plain = await client.enqueue(add, 1)
    assert "h" not in json.loads(await redis.get(f"arq:job:{plain.id}"))
    reference = await client.enqueue(add.opts(retries=3).job(1).with_headers({"by": "ann", "n": [1, None]}))
    payload = json.loads(await redis.get(f"arq:job:{reference.id}"))
    assert list(payload)[-2:] == ["o", "h"]
    assert payload["h"] == {"by": "ann", "n": [1, None]}


async def test_headers_of_a_job_that_takes_in_others_leave_its_list_at_the_end(client, redis):
    call = add.opts(aggregate=aggregate("1h"))
    first = await client.enqueue(dataclasses.replace(call.job(1), args=([1],)).with_headers({"by": "ann"}))
    second = await client.enqueue(dataclasses.replace(call.job(1), args=([2],)).with_headers({"by": "bob"}))
    assert second.id == first.id
    payload = decode_payload(await redis.get(f"arq:job:{first.id}"))
    assert (payload.args, payload.headers) == (([1, 2],), {"by": "ann"})


async def test_what_is_carried_travels_with_every_kind_of_enqueue(client, redis, redis_url, monkeypatch):
    monkeypatch.setenv("JOBSD_REDIS_URL", redis_url)
    carry(tenant)

    async def of_acme() -> list[JobRef[Any]]:
        tenant.set("acme")
        request_id.set("r-1")
        bare = await enqueue("add", 1)
        await ambient.close_default_client()
        return [await client.enqueue(add, 1), *await client.enqueue_many([add.job(1)]), bare]

    for reference in await asyncio.create_task(of_acme()):
        assert await headers_of(redis, reference) == {"tenant": "acme", "request_id": "r-1"}


@pytest.mark.parametrize(
    ("headers", "error"), [({"x": "y" * 9000}, HeadersTooLargeError), ({"x": object()}, UnserializableHeaderError)]
)
async def test_headers_that_cannot_travel_are_refused_and_nothing_is_stored(client, redis, headers, error):
    with pytest.raises(error, match=r"headers? .*of 'add'"):
        await client.enqueue(add.job(1).with_headers(headers))
    with pytest.raises(error, match=r"headers? .*of 'add'"):
        await client.enqueue_many([add.job(2), add.job(1).with_headers(headers)])
    assert await stored(redis) == 0


async def test_a_hook_may_hand_on_another_request_whichever_way_it_came(client, redis):
    @around_enqueue
    async def to_low(request, call_next):
        return await call_next(dataclasses.replace(request, queue="low").with_headers({"from": request.queue}))

    references = [
        await client.enqueue(add, 1),
        await client.enqueue("add", 1, _queue="other"),
        *await client.enqueue_many([add.job(1), add.job(2)]),
    ]
    assert [reference.queue for reference in references] == ["low"] * 4
    assert [(await headers_of(redis, one))["from"] for one in references] == ["maths", "other", "maths", "maths"]


async def test_what_a_hook_hands_on_is_checked_like_any_call(client, redis):
    @around_enqueue
    async def elsewhere(request, call_next):
        return await call_next(dataclasses.replace(request, queue="no queue"))

    with pytest.raises(InvalidOptionError, match="option 'queue' is 'no queue'"):
        await client.enqueue(add, 1)
    with pytest.raises(InvalidOptionError, match="option 'queue' is 'no queue'"):
        await client.enqueue_many([add.job(1)])
    assert await stored(redis) == 0


async def test_a_hook_that_raises_is_heard_by_the_caller_and_nothing_is_stored(client, redis):
    @around_enqueue
    async def not_today(request, call_next):
        if request.args == (3,):
            raise PermissionError("not today")
        return await call_next(request)

    with pytest.raises(PermissionError, match="not today"):
        await client.enqueue(add, 3)
    with pytest.raises(PermissionError, match="not today"):
        await client.enqueue_many([add.job(n) for n in range(10)])
    assert await stored(redis) == 0


async def test_a_hook_may_answer_itself(client, redis):
    @around_enqueue
    async def first_only(request, call_next):
        return await call_next(request) if request.args == (0,) else JobRef(client, "of-old", "default", duplicate=True)

    assert (await client.enqueue(add, 1)).id == "of-old"
    references = await client.enqueue_many([add.job(n) for n in range(3)])
    assert [reference.duplicate for reference in references] == [False, True, True]
    assert await stored(redis) == 1


async def calls_so_far(redis: Redis) -> int:
    stats = await redis.info("commandstats")
    return sum(stats[name]["calls"] for name in ("cmdstat_evalsha", "cmdstat_fcall") if name in stats)


async def test_a_thousand_with_hooks_still_travel_together_and_keep_their_order(client, redis):
    under_way = most = 0

    @around_enqueue
    async def looking_up(request, call_next):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        reference = await call_next(request.with_headers({"n": request.args[0]}))
        under_way -= 1
        return reference

    await client.enqueue(add, 0)  # the script is known to the server
    before = await calls_so_far(redis)
    references = await client.enqueue_many(add.job(n) for n in range(2500))
    assert await calls_so_far(redis) - before == 3
    assert most <= 2000  # one convoy on its way, and one that assembles
    assert [(await headers_of(redis, references[n]))["n"] for n in (0, 999, 1000, 2499)] == [0, 999, 1000, 2499]


async def test_requests_are_stored_in_their_order_also_when_the_hooks_of_the_first_take_longest(client, redis):
    second_came = asyncio.Event()

    @around_enqueue
    async def slow_first(request, call_next):
        if request.args == (1,):
            await second_came.wait()
        second_came.set()
        return await call_next(request)

    same_id = add.opts(id="one-only")
    first, second = await client.enqueue_many([same_id.job(1), same_id.job(2)])
    assert (first.duplicate, second.duplicate) == (False, True)
    assert decode_payload(await redis.get("arq:job:one-only")).args == (1,)


async def test_large_jobs_with_hooks_go_in_smaller_convoys(client, redis):
    @around_enqueue
    async def hook(request, call_next):
        return await call_next(request)

    await client.enqueue(add, 0)
    before = await calls_so_far(redis)
    await client.enqueue_many(add.opts(queue="x").job(0, b=0) for _ in range(3))
    assert await calls_so_far(redis) - before == 1
    large = dataclasses.replace(add.job(1), args=("x" * 900_000,))
    await client.enqueue_many(large for _ in range(25))
    assert await calls_so_far(redis) - before == 4


async def test_an_error_before_the_store_cancels_the_hooks_of_the_others(client, redis):
    cancelled: list[int] = []

    @around_enqueue
    async def waiting(request, call_next):
        if request.args == (5,):
            raise LookupError("no five")
        try:
            if request.args[0] % 2:
                await asyncio.Event().wait()
            return await call_next(request)
        except asyncio.CancelledError:
            cancelled.append(request.args[0])
            raise

    with pytest.raises(LookupError, match="no five"):
        await client.enqueue_many([add.job(n) for n in range(8)])
    assert sorted(cancelled) == [0, 1, 2, 3, 4, 6, 7]
    assert await stored(redis) == 0


async def test_an_error_after_the_store_is_raised_when_the_other_hooks_have_ended(client, redis):
    ended: list[int] = []

    @around_enqueue
    async def counting(request, call_next):
        reference = await call_next(request)
        if request.args == (0,):
            raise LookupError("the books are away")
        for _ in range(10):
            await asyncio.sleep(0)
        ended.append(request.args[0])
        return reference

    with pytest.raises(LookupError, match="the books are away"):
        await client.enqueue_many([add.job(n) for n in range(4)])
    assert sorted(ended) == [1, 2, 3]
    assert await stored(redis) == 4


async def test_a_request_that_its_hook_gives_up_is_not_stored(client, redis):
    @around_enqueue
    async def impatient(request, call_next):
        if request.args == (0,):
            try:
                async with asyncio.timeout(0.001):
                    return await call_next(request)
            except TimeoutError:
                given_up.set()
                return JobRef(client, "none", "default")
        await given_up.wait()
        return await call_next(request)

    given_up = asyncio.Event()
    first, second = await client.enqueue_many([add.job(0), add.job(1)])
    assert first.id == "none"
    assert await stored(redis) == 1
    assert await redis.exists(f"arq:job:{second.id}")


async def test_every_hook_hears_that_redis_is_away():
    heard: list[int] = []

    @around_enqueue
    async def listening(request, call_next):
        try:
            return await call_next(request)
        except UnreachableError:
            heard.append(request.args[0])
            raise

    async with Client("redis://127.0.0.1:1") as client:
        with pytest.raises(UnreachableError, match=r"Redis at redis://127\.0\.0\.1:1 is out of reach"):
            await client.enqueue_many([add.job(n) for n in range(3)])
        with pytest.raises(UnreachableError):
            await client.enqueue(add, 3)
    assert heard == [0, 1, 2, 3]


async def test_cancelling_enqueue_many_cancels_its_hooks(client, redis):
    began, ended = asyncio.Event(), asyncio.Event()

    @around_enqueue
    async def waiting(request, call_next):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return await call_next(request)

    calling = asyncio.create_task(client.enqueue_many([add.job(1)]))
    await began.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert ended.is_set()
    assert await stored(redis) == 0


async def test_a_source_that_raises_leaves_no_hooks_behind(client, redis):
    ended: list[int] = []

    @around_enqueue
    async def hook(request, call_next):
        try:
            return await call_next(request)
        finally:
            ended.append(request.args[0])

    def source() -> Iterator[JobRequest[Any]]:
        yield add.job(1)
        yield add.job(2)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        await client.enqueue_many(source())
    assert ended == [1, 2]
    assert await stored(redis) == 0


async def test_none_with_hooks_is_none(client):
    @around_enqueue
    async def hook(request, call_next):
        return await call_next(request)

    assert await client.enqueue_many([]) == []


async def test_a_variable_that_a_hook_sets_is_carried_and_stays_with_its_request(client, redis):
    carry(tenant)

    @around_enqueue
    async def of_tenant(request, call_next):
        tenant.set(f"t{request.args[0]}")
        return await call_next(request)

    references = await client.enqueue_many([add.job(n) for n in range(3)])
    assert [(await headers_of(redis, one))["tenant"] for one in references] == ["t0", "t1", "t2"]
    assert tenant not in contextvars.copy_context()
