"""Results as arq writes them: what is in them, how long they are kept, in which codec they come."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import pickle

import msgpack
import pytest
from arq import Retry, func
from arq.jobs import DeserializationError, JobStatus, ResultNotFound, SerializationError
from arq.worker import JobExecutionFailed

from jobsd import Client
from jobsd.errors import JobFailedError
from tests.waiting import until

unpack = functools.partial(msgpack.unpackb, raw=False)


async def double(ctx, n):
    return n * 2


async def fails(ctx):
    msg = "no"
    raise ValueError(msg)


async def test_a_result_has_arqs_fields_and_no_others(office) -> None:
    await office.jobs.enqueue_job("double", 4, _job_id="d")
    before = pickle.loads(await office.redis.get("arq:job:d"))  # noqa: S301 - ours
    await office.burst(double)
    found = pickle.loads(await office.redis.get("arq:result:d"))  # noqa: S301
    times = {name: found.pop(name) for name in ("st", "ft")}
    wanted = {"t": 1, "f": "double", "a": (4,), "k": {}, "s": True, "r": 8, "q": "arq:queue", "id": "d"}
    assert found == wanted | {"et": before["et"]}
    assert before["et"] <= times["st"] + 1 <= times["ft"] + 1


async def test_a_result_is_kept_for_an_hour_and_its_key_says_so(office) -> None:
    await office.jobs.enqueue_job("double", 4, _job_id="d")
    await office.burst(double)
    await until(lambda: ttl_between(office, "arq:result:d", 3_590_000, 3_600_000))


@pytest.mark.parametrize("name", ["double", "fails"])
async def test_a_functions_own_time_goes_before_the_workers(office, name) -> None:
    function = {"double": double, "fails": fails}[name]
    await office.jobs.enqueue_job(name, *([1] if name == "double" else []), _job_id="d")
    await office.burst(func(function, name=name, keep_result=60), keep_result=7200)
    await until(lambda: ttl_between(office, "arq:result:d", 50_000, 60_000))


@pytest.mark.parametrize("name", ["double", "fails"])
@pytest.mark.parametrize("forever", [{"keep_result_forever": True}, {"function": True}])
async def test_a_result_that_is_kept_for_ever_has_no_end(office, name, forever) -> None:
    function = {"double": double, "fails": fails}[name]
    await office.jobs.enqueue_job(name, *([1] if name == "double" else []), _job_id="d")
    if "function" in forever:
        await office.burst(func(function, name=name, keep_result_forever=True))
    else:
        await office.burst(func(function, name=name), **forever)
    assert await office.redis.ttl("arq:result:d") == -1


@pytest.mark.parametrize("name", ["double", "fails"])
async def test_with_keep_result_zero_nothing_is_kept_and_the_id_is_free_at_once(office, name) -> None:
    function = {"double": double, "fails": fails}[name]
    arguments = [1] if name == "double" else []
    job = await office.jobs.enqueue_job(name, *arguments, _job_id="d")
    await office.burst(func(function, name=name, keep_result=0))
    with pytest.raises(ResultNotFound):
        await job.result(timeout=0)
    assert await job.status() is JobStatus.not_found
    assert await office.jobs.enqueue_job(name, *arguments, _job_id="d") is not None


async def test_a_large_result_comes_back_whole(office) -> None:
    async def large(ctx):
        return "x" * 1_000_000

    job = await office.jobs.enqueue_job("large")
    await office.burst(large)
    assert len(await job.result(timeout=0)) == 1_000_000


async def test_a_result_that_cannot_be_pickled_is_arqs_serialization_error(office, caplog) -> None:
    async def odd(ctx):
        return lambda: None

    job = await office.jobs.enqueue_job("odd", _job_id="o")
    worker = await office.burst(odd)
    with pytest.raises(SerializationError, match="unable to serialize result"):
        await job.result(timeout=0)
    assert "error serializing result of o:odd" in caplog.text
    assert worker.jobs_complete == 1


async def test_an_exception_that_is_returned_is_a_result(office) -> None:
    async def returns(ctx):
        return TypeError("as a value")

    job = await office.jobs.enqueue_job("returns")
    await office.burst(returns)
    assert isinstance(await job.result(timeout=0), TypeError)


async def test_msgpack_serves_both_ways(office) -> None:
    jobs = await office.client(job_serializer=msgpack.packb, job_deserializer=unpack)
    job = await jobs.enqueue_job("double", 21)
    await office.burst(double, job_serializer=msgpack.packb, job_deserializer=unpack)
    assert await job.result(timeout=0) == 42
    assert unpack(await office.redis.get(f"arq:result:{job.job_id}"))["r"] == 42


async def test_a_retried_job_keeps_its_codec(office) -> None:
    async def once(ctx):
        if ctx["job_try"] == 1:
            raise Retry
        return "x"

    jobs = await office.client(job_serializer=msgpack.packb, job_deserializer=unpack)
    job = await jobs.enqueue_job("once")
    await office.burst(once, job_serializer=msgpack.packb, job_deserializer=unpack)
    assert await job.result(timeout=0) == "x"


async def test_a_payload_in_another_codec_fails_its_job_and_no_other(office) -> None:
    jobs = await office.client(job_serializer=msgpack.packb, job_deserializer=unpack)
    bad = await jobs.enqueue_job("double", 1)
    good = await office.jobs.enqueue_job("double", 1)
    worker = await office.burst(double)
    assert await good.result(timeout=0) == 2
    with pytest.raises(DeserializationError, match="unable to deserialize job"):
        await type(good)(bad.job_id, office.jobs).result(timeout=0)
    assert (worker.jobs_complete, worker.jobs_failed) == (1, 1)


async def test_a_jobsd_client_is_answered_in_json_by_the_same_worker(office) -> None:
    async with Client(office.url) as client:
        well = await client.enqueue("double", 4, _queue="arq:queue")
        badly = await client.enqueue("fails", _queue="arq:queue")
        pickled = await office.jobs.enqueue_job("double", 5)
        await office.burst(double, fails)
        assert await well.result(timeout=5) == 8
        with pytest.raises(JobFailedError, match="no") as caught:
            await badly.result(timeout=5)
        assert caught.value.error_type == "ValueError"
        assert await pickled.result(timeout=0) == 10
        assert json.loads(await office.redis.get(f"arq:result:{well.id}"))["r"] == 8


async def test_a_jobsd_clients_own_retries_and_timeout_hold_for_an_arq_function(office) -> None:
    tries = []

    async def never(ctx):
        tries.append(ctx["job_try"])
        raise Retry

    async def sleeps(ctx):
        await asyncio.Event().wait()

    async with Client(office.url) as client:
        again = await client.enqueue("never", _queue="arq:queue", _retries=1)
        asleep = await client.enqueue("sleeps", _queue="arq:queue", _timeout="50ms")
        await office.burst(never, sleeps)
        for reference in (again, asleep):
            with pytest.raises(JobFailedError):
                await reference.result(timeout=5)
    assert tries == [1, 2]


async def test_a_failed_job_is_in_jobsds_archive_with_its_trace(office) -> None:
    await office.jobs.enqueue_job("fails", _job_id="f")
    await office.burst(fails)
    info = json.loads(await office.redis.hget("arq:queue:dead:f", "info"))
    assert info["e"] == ["ValueError", "no"]
    assert "in fails" in info["trace"]


async def test_the_log_has_arqs_lines_and_no_second_one_for_the_same(office, caplog) -> None:
    caplog.set_level(logging.INFO)
    await office.jobs.enqueue_job("double", 4, _job_id="d")
    await office.jobs.enqueue_job("fails", _job_id="f")
    await office.burst(double, fails)
    lines = [record for record in caplog.records if record.name == "arq.worker"]
    texts = [record.getMessage() for record in lines]
    assert any(text.endswith("→ d:double(4)") for text in texts)
    assert any(text.endswith("← d:double ● 8") for text in texts)
    [failed] = [record for record in lines if "! f:fails failed, ValueError: no" in record.getMessage()]
    assert failed.exc_info is not None
    assert failed.levelno == logging.ERROR
    assert not [record for record in caplog.records if record.getMessage().startswith("job.")]


async def test_with_log_results_off_a_result_is_not_in_the_log(office, caplog) -> None:
    caplog.set_level(logging.INFO)
    await office.jobs.enqueue_job("double", 617, _job_id="d")
    await office.burst(double, log_results=False)
    assert "← d:double ● " in caplog.text
    assert "1234" not in caplog.text


async def test_a_repr_that_raises_costs_a_line_and_not_the_job(office, caplog) -> None:
    caplog.set_level(logging.INFO)

    async def odd(ctx):
        return Unspeakable()

    job = await office.jobs.enqueue_job("odd", _job_id="o")
    await office.burst(odd)
    assert isinstance(await job.result(timeout=0), Unspeakable)
    assert "← o:odd ● (ZeroDivisionError)" in caplog.text


class Unspeakable:
    def __repr__(self):
        return str(1 / 0)


async def test_a_job_whose_payload_is_gone_is_answered_as_expired(office) -> None:
    job = await office.jobs.enqueue_job("double", 1, _job_id="gone")
    await office.redis.delete("arq:job:gone")
    worker = await office.burst(double)
    with pytest.raises(JobExecutionFailed, match=r"^job expired$"):
        await job.result(timeout=0)
    assert (await job.result_info()).function == "<unknown>"
    assert worker.jobs_failed == 1


async def ttl_between(office, key: str, least: int, most: int) -> bool:
    return least < await office.redis.pttl(key) <= most
