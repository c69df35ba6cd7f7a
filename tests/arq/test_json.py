"""jobsd.arq: arq's dictionaries in JSON, and the exceptions in them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import arq
import pytest
from arq.jobs import Job, SerializationError
from arq.worker import JobExecutionFailed

from jobsd import Client
from jobsd.arq import deserializer, job_deserializer, job_serializer
from jobsd.errors import JobFailedError
from tests.arq.office import soon
from tests.waiting import PATIENCE_S

JSON = {"job_serializer": job_serializer, "job_deserializer": job_deserializer}
QUICK = {"timeout": PATIENCE_S, "poll_delay": 0.02}


class CardRefusedError(Exception):
    pass


class NeedsTwoError(Exception):
    def __init__(self, one, other):
        super().__init__(one)
        self.other = other


def there_and_back(error: BaseException, deserialize=job_deserializer) -> BaseException:
    result = {"t": 1, "f": "f", "a": (1, 2), "k": {}, "et": 1, "s": False, "r": error, "st": 1, "ft": 1}
    read = deserialize(job_serializer(result))
    assert read["a"] == (1, 2)
    return read["r"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        KeyError("name"),
        FileNotFoundError(2, "No such file"),
        TimeoutError(),
        asyncio.CancelledError(),
        JobExecutionFailed("max 5 retries exceeded"),
        arq.Retry(5),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_comes_back_as_what_it_was(error) -> None:
    found = there_and_back(error)
    assert type(found) is type(error)
    assert found.args == error.args


def test_an_exception_that_is_not_known_comes_back_with_its_name_and_message() -> None:
    found = there_and_back(CardRefusedError("stolen"))
    assert isinstance(found, JobExecutionFailed)
    assert str(found) == "CardRefusedError: stolen"


def test_one_that_the_deserializer_was_given_comes_back() -> None:
    found = there_and_back(CardRefusedError("stolen"), deserializer(CardRefusedError))
    assert type(found) is CardRefusedError
    assert found.args == ("stolen",)


def test_one_that_cannot_be_made_again_is_not_an_error_of_the_client() -> None:
    found = there_and_back(NeedsTwoError("one", 2), deserializer(NeedsTwoError))
    assert isinstance(found, JobExecutionFailed)
    assert str(found) == "NeedsTwoError: one"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_would_end_the_client_is_not_revived(error) -> None:
    assert isinstance(there_and_back(error), JobExecutionFailed)


def test_a_result_that_looks_like_an_error_stays_what_it_is() -> None:
    value = {"type": "ValueError", "message": "as data"}
    assert job_deserializer(job_serializer({"a": (), "s": True, "r": value}))["r"] == value


async def test_an_arq_client_and_jobsds_worker_speak_json(office) -> None:
    async def pay(ctx, amount, at):
        if amount < 0:
            raise ValueError(amount)
        return [amount, at]

    jobs = await office.client(**JSON)
    now = datetime(2026, 1, 2, tzinfo=UTC)
    well = await jobs.enqueue_job("pay", 3, at=now)
    badly = await jobs.enqueue_job("pay", -3, at=now)
    office.open(pay, **JSON)
    assert await well.result(**QUICK) == [3, "2026-01-02T00:00:00Z"]
    with pytest.raises(ValueError, match="-3") as caught:
        await badly.result(**QUICK)
    assert caught.value.args == (-3,)
    assert json.loads(await office.redis.get(f"arq:result:{well.job_id}"))["f"] == "pay"


async def test_abort_is_answered_in_json_too(office) -> None:
    began = asyncio.Event()

    async def sleeps(ctx):
        began.set()
        await asyncio.Event().wait()

    jobs = await office.client(**JSON)
    job = await jobs.enqueue_job("sleeps")
    office.open(sleeps, allow_abort_jobs=True, **JSON)
    await soon(began)
    assert await job.abort(**QUICK) is True


async def test_a_worker_with_arqs_defaults_reads_json_of_some_clients_too(office) -> None:
    async def fails(ctx):
        raise ValueError(7)

    jobs = await office.client(**JSON)
    job = await jobs.enqueue_job("fails")
    await office.burst(fails)
    with pytest.raises(ValueError, match="7"):
        await job.result(timeout=0)


async def test_an_arq_client_reads_what_became_of_a_jobsd_clients_job(office) -> None:
    async def fails(ctx):
        msg = "no"
        raise ValueError(msg)

    jobs = await office.client(**JSON)
    async with Client(office.url) as client:
        reference = await client.enqueue("fails", _queue="arq:queue")
    [waiting] = await jobs.queued_jobs()
    assert (waiting.function, waiting.args) == ("fails", ())
    await office.burst(fails)
    with pytest.raises(ValueError, match="no"):
        await Job(reference.id, jobs, _deserializer=job_deserializer).result(timeout=0)


async def test_a_plain_arq_worker_serves_a_jobsd_client(office) -> None:
    async def pay(ctx, amount):
        if amount < 0:
            raise CardRefusedError(amount)
        return amount * 2

    async with Client(office.url) as client:
        well = await client.enqueue("pay", 3)
        badly = await client.enqueue("pay", -3)
        stock = arq.Worker(
            [arq.func(pay, name="pay")],
            queue_name="jobsd:{main}:default",
            redis_settings=office.settings,
            burst=True,
            poll_delay=0.01,
            handle_signals=False,
            **JSON,
        )
        async with asyncio.timeout(PATIENCE_S):
            await stock.main()
        assert await well.result(timeout=5) == 6
        with pytest.raises(JobFailedError, match="-3") as caught:
            await badly.result(timeout=5)
        assert caught.value.error_type == "CardRefusedError"
        await stock.pool.aclose(close_connection_pool=True)


async def test_a_result_without_a_json_form_is_arqs_serialization_error(office) -> None:
    async def odd(ctx):
        return object()

    jobs = await office.client(**JSON)
    job = await jobs.enqueue_job("odd")
    await office.burst(odd, **JSON)
    with pytest.raises(SerializationError, match="unable to serialize result"):
        await job.result(timeout=0)
