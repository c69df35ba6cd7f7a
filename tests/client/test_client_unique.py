"""Calls that store nothing, or go into a job that waits already: what their reference says."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobState, aggregate
from jobsd.definition import Task
from jobsd.errors import InvalidArgumentsError, PayloadTooLargeError, UnserializableError
from tests.client.a_task import add
from tests.client.a_worker import AWorker
from tests.client.proxy import Proxy

if TYPE_CHECKING:
    from pathlib import Path

HOUR = "1h"


async def _index(ctx, items: list[int]) -> int:
    return len(items)


index = Task(_index, "index", aggregate=aggregate(HOUR, max_size=5))


async def payload_of(redis, job_id: str) -> dict[str, Any]:
    return json.loads(await redis.get(f"arq:job:{job_id}"))


# --- unique ---------------------------------------------------------------------------------------


async def test_a_second_job_of_the_same_arguments_is_a_reference_to_the_first(client: Client, redis) -> None:
    unique = add.opts(unique_for=HOUR)
    first = await client.enqueue(unique, 1, b=2)
    second = await client.enqueue(unique, 1, 2)
    assert (first.duplicate, second.duplicate, second.id, second.queue) == (False, True, first.id, "maths")
    assert not (await client.enqueue(unique, 1, 3)).duplicate
    assert not (await client.enqueue(add, 1, b=2)).duplicate, "what does not ask to be unique is stored"
    assert await redis.zcard("jobsd:{main}:maths") == 3


async def test_the_holder_is_found_in_its_own_queue(client: Client, redis) -> None:
    first = await client.enqueue(add.opts(unique_for=HOUR, unique_key="invoice 7", queue="urgent"), 1)
    second = await client.enqueue("other", _unique_for=HOUR, _unique_key="invoice 7")
    assert (second.duplicate, second.id, second.queue) == (True, first.id, "urgent")
    assert await second.status() is JobState.PENDING
    worker = AWorker(redis)
    await worker.complete(await worker.claim("urgent"), 7)
    assert await second.result(20) == 7


async def test_an_id_of_ones_own_and_a_key_may_both_be_taken(client: Client) -> None:
    first = await client.enqueue("add", 1, _id="mine", _unique_for=HOUR)
    assert (await client.enqueue("add", 1, _id="other", _unique_for=HOUR)).id == first.id == "mine"
    same_id = await client.enqueue("add", 2, _id="mine", _unique_for=HOUR)
    assert (same_id.id, same_id.duplicate) == ("mine", True)
    assert not (await client.enqueue("add", 2, _id="third", _unique_for=HOUR)).duplicate, (
        "the refused one locks nothing"
    )


@pytest.mark.parametrize("ending", ["complete", "archive"])
async def test_the_lock_ends_with_the_job(client: Client, redis, ending: str) -> None:
    await client.enqueue("add", 1, _unique_for=HOUR)
    worker = AWorker(redis)
    lease = await worker.claim()
    assert (await client.enqueue("add", 1, _unique_for=HOUR)).duplicate, "it runs still"
    if ending == "complete":
        await worker.complete(lease)
    else:
        await worker.archive(lease, "failed", "ValueError", "no")
    assert not (await client.enqueue("add", 1, _unique_for=HOUR)).duplicate


async def test_of_many_at_the_same_time_one_is_stored(client: Client, redis_url: str, redis) -> None:
    async with Client(redis_url) as other:
        calls = [one.enqueue(add.opts(unique_for=HOUR), 1) for one in (client, other) for _ in range(50)]
        references = await asyncio.gather(*calls)
    assert sum(not one.duplicate for one in references) == 1
    assert len({one.id for one in references}) == 1
    assert await redis.zcard("jobsd:{main}:maths") == 1


async def test_of_many_in_one_enqueue_many_each_has_its_own_answer(client: Client) -> None:
    unique, plain = add.opts(unique_for=HOUR), add
    jobs = [unique.job(1), plain.job(1), unique.job(1), unique.job(2), unique.job(2), plain.job(1)]
    found = await client.enqueue_many(jobs)
    assert [one.duplicate for one in found] == [False, False, True, False, True, False]
    assert (found[2].id, found[4].id) == (found[0].id, found[3].id)


async def test_a_lost_answer_about_a_holder_is_told_again(redis_url: str, tmp_path: Path) -> None:
    async with Proxy(redis_url, tmp_path / "proxy.sock") as proxy, Client(proxy.url) as client:
        first = await client.enqueue("add", 1, _unique_for=HOUR)
        proxy.swallowing = 1
        second = await client.enqueue("add", 1, _unique_for=HOUR)
        proxy.swallowing = 1
        third = await client.enqueue("add", 3, _unique_for=HOUR)
        assert proxy.swallowed == 2
    assert (second.duplicate, second.id, third.duplicate) == (True, first.id, False)


async def test_arguments_without_a_json_form_are_refused_by_name_before_they_are_compared(
    client: Client, redis
) -> None:
    for what in (object(), "lone \ud800", {"deep": [object()]}):
        with pytest.raises(UnserializableError, match="argument 2"):
            await client.enqueue("any", 1, what, _unique_for=HOUR)
    assert await redis.dbsize() == 0


# --- throttle and debounce ------------------------------------------------------------------------


async def test_the_first_of_throttled_calls_wins_though_it_has_ended(client: Client, redis) -> None:
    first = await client.enqueue(add.opts(throttle=HOUR), 1)
    worker = AWorker(redis)
    await worker.complete(await worker.claim("maths"), 7)
    second = await client.enqueue(add.opts(throttle=HOUR), 2)
    assert (second.duplicate, second.id) == (True, first.id)
    assert await second.result(20) == 7
    assert not (await client.enqueue(add.opts(throttle=HOUR, unique_key="another"), 2)).duplicate


async def test_the_last_of_debounced_calls_wins_under_the_id_of_the_first(client: Client, redis) -> None:
    references = [await client.enqueue(add.opts(debounce=HOUR), n) for n in range(3)]
    assert len({one.id for one in references}) == 1
    assert not any(one.duplicate for one in references)
    assert (await payload_of(redis, references[0].id))["a"] == [2]
    assert await references[2].status() is JobState.SCHEDULED
    assert await redis.zcard("jobsd:{main}:maths") == 1


# --- aggregation ----------------------------------------------------------------------------------


async def test_the_lists_of_the_calls_are_one_list_of_one_job(client: Client, redis) -> None:
    references = [await client.enqueue(index, [1, 2]), await client.enqueue(index, items=[3])]
    assert len({one.id for one in references}) == 1
    assert not any(one.duplicate for one in references)
    found = await payload_of(redis, references[0].id)
    assert (found["a"], found["k"]) == ([[1, 2, 3]], {})
    assert list(found)[-1] == "a"


async def test_a_list_that_is_full_goes_at_once_and_the_next_begins_anew(client: Client, redis) -> None:
    first = await client.enqueue(index, [1, 2, 3])
    assert await first.status() is JobState.SCHEDULED
    await client.enqueue(index, [4, 5])
    assert await first.status() is JobState.PENDING
    third = await client.enqueue(index, [6])
    assert third.id != first.id
    assert (await payload_of(redis, first.id))["a"] == [[1, 2, 3, 4, 5]]


async def test_no_item_is_lost_or_doubled_by_many_at_the_same_time(redis_url: str, redis, tmp_path: Path) -> None:
    calls = Task(_index, "index", aggregate=aggregate(HOUR, max_size=37))
    async with Proxy(redis_url, tmp_path / "proxy.sock") as proxy, Client(proxy.url) as client:
        await client.enqueue("warm")
        proxy.swallowing = 2
        await asyncio.gather(*(client.enqueue(calls, [n]) for n in range(500)))
        assert proxy.swallowed == 2
    stored = [json.loads(await redis.get(key)) for key in await redis.keys("arq:job:*")]
    lists = [job["a"][0] for job in stored if job["f"] == "index"]
    assert sorted(item for one in lists for item in one) == list(range(500))
    assert max(map(len, lists)) <= 37


async def test_a_list_does_not_grow_over_the_limit_of_a_payload(redis_url: str, redis) -> None:
    calls = Task(_index, "index", aggregate=aggregate(HOUR))
    async with Client(redis_url, payload_limit_bytes=1000) as client:
        for n in range(100):
            await client.enqueue(calls, [n * 10**9])
        with pytest.raises(PayloadTooLargeError):
            await client.enqueue(calls, list(range(1000)))
    sizes = [await redis.strlen(key) for key in await redis.keys("arq:job:*")]
    assert 900 < max(sizes) <= 1000


@pytest.mark.parametrize(
    "call", [lambda c: c.enqueue(index, []), lambda c: c.enqueue("index", 5, _aggregate=index.aggregate)]
)
async def test_what_is_no_list_is_refused(client: Client, redis, call) -> None:
    with pytest.raises(InvalidArgumentsError):
        await call(client)
    assert await redis.dbsize() == 0


# --- what limits a job travels with it ------------------------------------------------------------


async def test_limits_travel_with_the_job(client: Client, redis) -> None:
    charge = Task(add.function, "charge", resources=("stripe",))
    reference = await client.enqueue(charge.opts(limit_key="acme", resources="smtp"), 1)
    assert (await payload_of(redis, reference.id))["l"] == "k=acme,r=smtp,r=stripe"
    by_name = await client.enqueue("charge", 1, _limit_key="acme", _resources=["stripe"], _delay=HOUR)
    assert (await payload_of(redis, by_name.id))["l"] == "k=acme,r=stripe"
    assert await by_name.status() is JobState.SCHEDULED


async def test_a_job_without_limits_carries_none(client: Client, redis) -> None:
    assert "l" not in await payload_of(redis, (await client.enqueue(add, 1)).id)
