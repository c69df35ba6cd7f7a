from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobsd import Client, JobState, exponential
from jobsd.clock import now_ms
from jobsd.definition import Task
from jobsd.errors import (
    EnqueueError,
    InvalidArgumentsError,
    InvalidOptionError,
    PayloadTooLargeError,
    UnserializableError,
)
from jobsd.store.codec import decode_payload
from tests.client.a_task import add


async def _anything(ctx, *args: Any, **kwargs: Any) -> None: ...


anything = Task(_anything, "anything")


async def payload_of(redis, job_id: str) -> dict[str, Any]:
    return json.loads(await redis.get(f"arq:job:{job_id}"))


# --- the forms of a call --------------------------------------------------------------------------


async def test_a_task_goes_to_its_own_queue_with_its_arguments(client: Client, redis) -> None:
    reference = await client.enqueue(add, 1, b=2)
    assert (reference.queue, reference.duplicate) == ("maths", False)
    found = await payload_of(redis, reference.id)
    assert (found["f"], found["a"], found["k"], found["t"]) == ("add", [1], {"b": 2}, None)
    assert "o" not in found  # what was not given at the call is looked up by the worker
    assert abs(found["et"] - now_ms()) < 60_000
    assert await redis.zscore("jobsd:{main}:maths", reference.id)


async def test_options_travel_with_the_job(client: Client, redis) -> None:
    call = add.opts(queue="urgent", timeout="7s", retries=9, backoff=exponential("1s"), id="mine")
    reference = await client.enqueue(call, 1)
    assert (reference.id, reference.queue) == ("mine", "urgent")
    assert (await payload_of(redis, "mine"))["o"] == {
        "t": 7000,
        "r": 9,
        "b": ["exponential", 1000, 4, 3_600_000, True],
    }


async def test_a_job_made_before_is_enqueued_as_it_is(client: Client, redis) -> None:
    reference = await client.enqueue(add.opts(queue="urgent").job(1, b=2))
    assert reference.queue == "urgent"
    assert (await payload_of(redis, reference.id))["k"] == {"b": 2}


async def test_by_name_options_are_keywords_with_an_underscore(client: Client, redis) -> None:
    reference = await client.enqueue("add", 1, b=2, _queue="maths", _retries=0, _id="mine", _timeout="1s", _delay="1h")
    assert (reference.id, reference.queue) == ("mine", "maths")
    found = await payload_of(redis, "mine")
    assert (found["a"], found["k"], found["o"]) == ([1], {"b": 2}, {"t": 1000, "r": 0})
    assert await reference.status() is JobState.SCHEDULED


async def test_by_name_the_queue_is_default(client: Client) -> None:
    assert (await client.enqueue("add", 1)).queue == "default"


@pytest.mark.parametrize("name", ["self", "task", "args", "kwargs", "name", "queue", "delay", "id"])
async def test_an_argument_may_have_any_name(client: Client, redis, name: str) -> None:
    reference = await client.enqueue("any", **{name: 1})
    assert (await payload_of(redis, reference.id))["k"] == {name: 1}


async def test_a_delay_counts_from_now_by_the_servers_clock(client: Client, redis) -> None:
    seconds, _ = await redis.time()
    reference = await client.enqueue(add.opts(delay=timedelta(hours=1)), 1)
    assert abs(await redis.zscore("jobsd:{main}:maths", reference.id) / 1000 - seconds - 3600) < 60
    assert await reference.status() is JobState.SCHEDULED


async def test_an_instant_is_kept_to_the_millisecond(client: Client, redis) -> None:
    at = datetime(2100, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    reference = await client.enqueue(add.opts(at=at), 1)
    assert await redis.zscore("jobsd:{main}:maths", reference.id) == at.timestamp() * 1000


async def test_ids_of_one_client_rise(client: Client) -> None:
    ids = [(await client.enqueue("add")).id for _ in range(50)]
    assert ids == sorted(set(ids))
    assert {len(job_id) for job_id in ids} == {26}


# --- refused before anything is stored ------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda c: c.enqueue(add, "x"), InvalidArgumentsError, r"arguments of 'add' do not fit.*given 'x'"),
        (lambda c: c.enqueue(add), InvalidArgumentsError, "a is missing"),
        (lambda c: c.enqueue(add.job(1), 2), InvalidArgumentsError, "has its arguments already"),
        (lambda c: c.enqueue(anything, object()), UnserializableError, "argument 1 of 'anything'.*it is a object"),
        (lambda c: c.enqueue("any", what={1, object()}), UnserializableError, "argument 'what'"),
        (lambda c: c.enqueue("any", "caf\udce9"), UnserializableError, "argument 1"),
        (lambda c: c.enqueue("any", b"\xff"), UnserializableError, "argument 1"),
        (lambda c: c.enqueue("any", "x" * 2**20), PayloadTooLargeError, r"limit is 1,048,576 .the largest is 1 with"),
        (lambda c: c.enqueue("any", _dealy="5m"), InvalidOptionError, "did you mean _delay"),
        (lambda c: c.enqueue("any", _nonsense=1), InvalidOptionError, "allowed is _queue, _delay"),
        (lambda c: c.enqueue("any", _delay=5), InvalidOptionError, "a duration such as"),
        (lambda c: c.enqueue("any", _queue="a queue"), InvalidOptionError, "1 to 128"),
        (lambda c: c.enqueue("any", _id="an id"), InvalidOptionError, "1 to 128"),
        (lambda c: c.enqueue("any", _id=""), InvalidOptionError, "1 to 128"),
        (lambda c: c.enqueue(""), InvalidOptionError, "a task's name"),
        (lambda c: c.enqueue(add.function, 1), InvalidOptionError, r"a task, task\.opts"),
        (lambda c: c.enqueue_many([add.job(1), "add"]), InvalidOptionError, r"a task, task\.opts"),
    ],
)
async def test_a_refused_call_stores_nothing(client: Client, redis, call, error, told: str) -> None:
    with pytest.raises(error, match=told) as refused:
        await call(client)
    assert isinstance(refused.value, EnqueueError)
    assert await redis.dbsize() == 0


@pytest.mark.parametrize("options", [{"_queue": 5}, {"_id": 5}], ids=str)
async def test_an_option_of_a_wrong_type_is_an_invalid_option(client: Client, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError):
        await client.enqueue("any", **options)


async def test_an_argument_that_contains_itself_is_refused(client: Client, redis) -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(UnserializableError, match="argument 1"):
        await client.enqueue("any", circle)
    assert await redis.dbsize() == 0


async def test_the_limit_of_a_payload_can_be_set(redis_url: str) -> None:
    async with Client(redis_url, payload_limit_bytes=100) as client:
        with pytest.raises(PayloadTooLargeError) as refused:
            await client.enqueue("any", small=1, large="x" * 50)
    assert (refused.value.argument, refused.value.limit_bytes) == ("'large'", 100)


async def test_an_iterator_is_stored_whole_or_refused(client: Client, redis) -> None:
    async def total(ctx, numbers: list[int]) -> int:
        return sum(numbers)

    try:
        reference = await client.enqueue(Task(total, "total"), (n for n in range(3)))
    except EnqueueError:
        return
    assert (await payload_of(redis, reference.id))["a"] == [[0, 1, 2]]


async def test_what_is_stored_can_be_read(client: Client) -> None:
    try:
        reference = await client.enqueue("any", json.loads("[" * 210 + "]" * 210))
    except EnqueueError:
        return
    decode_payload(await client.following().looks.payload(reference.id))


# --- ids of one's own -----------------------------------------------------------------------------


async def test_of_two_jobs_with_one_id_the_second_is_a_reference_to_the_first(client: Client, redis) -> None:
    first = await client.enqueue("add", 1, _id="mine")
    second = await client.enqueue("add", 2, _id="mine")
    assert (first.duplicate, second.duplicate, second.id) == (False, True, "mine")
    assert repr(second) == "<job mine in 'default', duplicate>"
    assert (await payload_of(redis, "mine"))["a"] == [1]
