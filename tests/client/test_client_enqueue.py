from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import OutOfMemoryError

from jobsd import Client, JobState, exponential
from jobsd.clock import now_ms
from jobsd.definition import Task
from jobsd.errors import (
    EnqueueError,
    InvalidArgumentsError,
    InvalidOptionError,
    NotConfiguredError,
    PayloadTooLargeError,
    StoreFullError,
    StoreRefusedError,
    UnknownQueueError,
    UnreachableError,
    UnserializableError,
)
from jobsd.sending import MOST_JOBS
from jobsd.store.codec import decode_payload
from jobsd.store.jobs import Jobs
from tests.client.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BASE = "jobsd:{main}:default"


async def _add(ctx, a: int, b: int = 0) -> int:
    return a + b


async def _anything(ctx, *args: Any, **kwargs: Any) -> None: ...


add = Task(_add, "add", queue="maths")
anything = Task(_anything, "anything")


async def payload_of(redis, job_id: str) -> dict[str, Any]:
    return json.loads(await redis.get(f"arq:job:{job_id}"))


async def evals(redis) -> int:
    """Return how many scripts the server has run."""
    stats = await redis.info("commandstats")
    return sum(facts["calls"] for name, facts in stats.items() if name in {"cmdstat_eval", "cmdstat_evalsha"})


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
        (lambda c: c.enqueue(_add, 1), InvalidOptionError, r"a task, task\.opts"),
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
    decode_payload(await client._looks.payload(reference.id))


# --- many -----------------------------------------------------------------------------------------


async def test_many_jobs_are_stored_in_chunks_of_a_thousand_in_order(client: Client, redis) -> None:
    before = await evals(redis)
    references = await client.enqueue_many(add.job(n) for n in range(2500))
    assert await evals(redis) - before <= 3 + 1  # the first may find the script unknown
    assert len({reference.id for reference in references}) == 2500
    stored = [job_id.decode() for job_id in await redis.zrange("jobsd:{main}:maths", 0, -1)]
    assert sorted(stored) == [reference.id for reference in references]


async def test_many_may_come_from_an_async_iterable(client: Client) -> None:
    async def jobs() -> AsyncIterator[Any]:
        for n in range(3):
            await asyncio.sleep(0)
            yield add.opts(queue=f"q{n}").job(n)

    assert [reference.queue for reference in await client.enqueue_many(jobs())] == ["q0", "q1", "q2"]


async def test_of_none_there_are_no_references(client: Client, redis) -> None:
    assert await client.enqueue_many([]) == []
    assert await redis.dbsize() == 0


async def test_a_wrong_job_among_many_keeps_earlier_thousands_only(client: Client, redis) -> None:
    def jobs() -> Any:
        yield from (add.job(n) for n in range(MOST_JOBS + 5))
        yield add.opts(queue="not a queue").job(1)

    with pytest.raises(InvalidOptionError):
        await client.enqueue_many(jobs())
    assert await redis.zcard("jobsd:{main}:maths") == MOST_JOBS


# --- concurrent calls -----------------------------------------------------------------------------


async def test_concurrent_calls_travel_together(client: Client, redis) -> None:
    await client.enqueue("warm")
    before = await evals(redis)
    references = await asyncio.gather(*(client.enqueue("add", n) for n in range(500)))
    assert await evals(redis) - before <= 5  # the first alone, the others by halves
    assert len({reference.id for reference in references}) == 500
    assert await redis.zcard(BASE) == 501


async def test_what_is_called_during_a_round_trip_goes_in_the_next(client: Client) -> None:
    store, batches, go = client._sending.jobs.enqueue, [], asyncio.Event()

    async def slow(sender: str, number: int, jobs: Any) -> Any:
        batches.append(len(jobs))
        await go.wait()
        return await store(sender, number, jobs)

    client._sending.jobs.enqueue = slow  # type: ignore[method-assign]
    calls = [asyncio.create_task(client.enqueue("add"))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for n in range(10):
        calls.append(asyncio.create_task(client.enqueue("add", n)))
        await asyncio.sleep(0)
    assert batches == [1]
    go.set()
    await asyncio.gather(*calls)
    assert sum(batches) == 11
    assert len(batches) <= 5


async def test_each_concurrent_call_has_its_own_error(client: Client, redis) -> None:
    answers = await asyncio.gather(
        client.enqueue("fine"),
        client.enqueue("wrong", _delay=5),
        client.enqueue("large", "x" * 2**20),
        client.enqueue("fine", _id="twice"),
        client.enqueue("fine", _id="twice"),
        return_exceptions=True,
    )
    kinds = [type(answer).__name__ for answer in answers]
    assert kinds == ["JobRef", "InvalidOptionError", "PayloadTooLargeError", "JobRef", "JobRef"]
    assert [answer.duplicate for answer in (answers[0], *answers[3:])] == [False, False, True]
    assert await redis.zcard(BASE) == 2


async def test_a_caller_that_is_cancelled_does_not_disturb_the_others(client: Client) -> None:
    calls = [asyncio.create_task(client.enqueue("add", n)) for n in range(10)]
    await asyncio.sleep(0)
    calls[0].cancel()  # it made the sender
    calls[5].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [n in {0, 5} for n in range(10)]
    assert not (await client.enqueue("add", 11)).duplicate


async def test_close_waits_for_the_calls_that_are_under_way(redis_url: str, redis) -> None:
    client = Client(redis_url)
    calls = [asyncio.create_task(client.enqueue("add", n)) for n in range(10)]
    await asyncio.sleep(0)
    await client.close()
    assert len({(await call).id for call in calls}) == 10
    assert await redis.zcard(BASE) == 10


async def test_callers_hear_when_the_loop_ends_what_sends_for_them(client: Client) -> None:
    store, sent = client._sending.jobs.enqueue, asyncio.Event()

    async def never_answered(sender: str, number: int, jobs: Any) -> Any:
        if number > 1:
            sent.set()
            await asyncio.sleep(3600)
        return await store(sender, number, jobs)

    client._sending.jobs.enqueue = never_answered  # type: ignore[method-assign]
    calls = [asyncio.create_task(client.enqueue("add", n)) for n in range(4)]
    await sent.wait()
    assert client._sending._carrier is not None
    client._sending._carrier.cancel()
    await asyncio.wait(calls, timeout=5)
    assert [type(call.exception()) for call in calls] == [type(None), *3 * [UnreachableError]]


async def test_jobs_of_concurrent_calls_are_stored_in_the_order_of_the_calls(client: Client, redis) -> None:
    references = await asyncio.gather(*(client.enqueue("add", n) for n in range(3000)))
    stored = await redis.zrange(BASE, 0, -1)
    assert [job_id.decode() for job_id in stored] == [reference.id for reference in references]


async def test_of_calls_that_are_refused_together_each_is_told_of_its_own_job(client: Client, redis) -> None:
    store, full = client._sending.jobs.enqueue, False

    async def soon_full(sender: str, number: int, jobs: Any) -> Any:
        if full and len(jobs) == 1:
            raise OutOfMemoryError
        return await store(sender, number, jobs)

    client._sending.jobs.enqueue = soon_full  # type: ignore[method-assign]
    await redis.set("app:list", "no queue")
    calls = [asyncio.create_task(client.enqueue("add", n, _queue=q)) for n, q in enumerate(["a", "b", "app:list", "c"])]
    while not await redis.zcard("jobsd:{main}:b"):
        await asyncio.sleep(0)
    full = True
    told = await asyncio.gather(*calls, return_exceptions=True)
    for queue, said in zip("abc", (told[0], told[1], told[3]), strict=True):
        assert isinstance(said, StoreFullError) != await redis.zcard(f"jobsd:{{main}}:{queue}")
    assert isinstance(told[2], StoreRefusedError | StoreFullError)


# --- ids of one's own -----------------------------------------------------------------------------


async def test_of_two_jobs_with_one_id_the_second_is_a_reference_to_the_first(client: Client, redis) -> None:
    first = await client.enqueue("add", 1, _id="mine")
    second = await client.enqueue("add", 2, _id="mine")
    assert (first.duplicate, second.duplicate, second.id) == (False, True, "mine")
    assert repr(second) == "<job mine in 'default', duplicate>"
    assert (await payload_of(redis, "mine"))["a"] == [1]


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
