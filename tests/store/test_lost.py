"""What is written of a lost run: its record for the ledger, and the archive after the third."""

from __future__ import annotations

import json

import pytest

from jobsd.execution import LOST_MARK, UntoldRun
from jobsd.job import JobState
from jobsd.store.codec import decode_result
from tests.store.shop import LEASE_MS, MAX_LOSSES, START, Shop, a_job, a_payload, claimed


async def lose(shop: Shop, times: int) -> None:
    """Let the default queue's jobs be claimed by as many workers, none of which is heard of again."""
    for n in range(1, times + 1):
        assert await shop.hand(f"w{n}").claim()
        await shop.advance(LEASE_MS + 1)
        assert await shop.recover()


def read(record: bytes) -> tuple[UntoldRun, bytes]:
    facts, _, payload = record.partition(b"\n")
    return UntoldRun(*json.loads(facts)), payload


async def test_the_record_is_a_line_of_what_is_known_of_the_run_and_the_payload_as_it_is(shop):
    [job] = await shop.put("job-1", when=f"{START - 700}")
    await lose(shop, 1)
    [entry] = await shop.records()
    run, payload = read(entry["job-1"])
    assert payload == job.payload
    assert run == UntoldRun(
        mark=LOST_MARK,
        job_id="job-1",
        queue="default",
        attempt=1,
        scheduled_for=START - 700,
        started_at=START,
        finished_at=START + LEASE_MS + 1,
        worker="w1",
        transition="requeued",
        message="lost: worker w1 fell silent",
    )


async def test_a_record_names_a_raw_queue_by_its_key(shop):
    await shop.put("job-1", queue="arq:queue")
    await shop.hand("w1").claim(1, **{"arq:queue": 1})
    await shop.advance(LEASE_MS + 1)
    await shop.recover("arq:queue")
    [entry] = await shop.records()
    assert read(entry["job-1"])[0].queue == "arq:queue"


async def test_records_of_one_queue_are_one_entry_with_a_field_for_each_job(shop):
    await claimed(shop, "a", "b", "c")
    await shop.advance(LEASE_MS + 1)
    await shop.recover()
    [entry] = await shop.records()
    assert [read(record)[0].job_id for record in entry.values()] == list(entry) == ["a", "b", "c"]


async def test_every_loss_has_a_record_of_its_own_attempt(shop):
    await shop.put("job-1")
    await lose(shop, MAX_LOSSES)
    runs = [read(entry["job-1"])[0] for entry in await shop.records()]
    assert [(run.attempt, run.worker, run.transition) for run in runs] == [
        (1, "w1", "requeued"),
        (2, "w2", "requeued"),
        (3, "w3", "archived"),
    ]
    assert len({run.started_at for run in runs}) == 3


async def test_the_third_loss_archives_the_job_with_the_evidence_and_leaves_nothing_else(shop):
    [job] = await shop.put("job-1")
    await lose(shop, MAX_LOSSES)
    traces = await shop.traces("job-1")
    started = [START, START + LEASE_MS + 1, START + 2 * (LEASE_MS + 1)]
    assert traces.keys() == {"default:archived", "default:dead:job-1", "arq:result:job-1", ":records"}
    assert traces["default:archived"] == shop.now
    assert traces["default:dead:job-1"] == {
        "payload": job.payload,
        "info": {
            "n": 3,
            "l": 3,
            "w": [[f"w{n}", start, None] for n, start in enumerate(started, 1)],
            "outcome": "lost",
            "message": "lost: worker w3 fell silent; this job lost its worker 3 times",
            "due": START,
        },
    }


async def test_its_result_says_so_and_ends_by_itself(shop):
    job = a_job("job-1")
    await shop.enqueue([job])
    await lose(shop, MAX_LOSSES)
    stored = await shop.jobs.looks.result("job-1")
    message = "lost: worker w3 fell silent; this job lost its worker 3 times"
    assert decode_result(stored)[:4] == (False, None, message, "LostError")
    result = json.loads(stored)
    assert (result["t"], result["st"], result["ft"], result["q"], result["id"]) == (
        3,
        shop.now - LEASE_MS - 1,
        shop.now,
        "default",
        "job-1",
    )
    assert result["i"] == json.loads(job.payload)["i"]
    assert 3_590_000 < await shop.redis.pttl("arq:result:job-1") <= 3_600_000


async def test_an_archived_job_is_claimed_no_more(shop):
    await shop.put("job-1")
    await lose(shop, MAX_LOSSES)
    assert await shop.hand("w9").claim() == []
    assert await shop.jobs.looks.state("default", "job-1", now=shop.now) is JobState.ARCHIVED


@pytest.mark.parametrize("payload", [b"\x80\x04\xff\x00", None])
async def test_a_job_that_nobody_can_read_is_archived_too_without_a_result(shop, payload):
    await shop.put("job-1")
    if payload is None:
        await shop.redis.delete("arq:job:job-1")
    else:
        await shop.redis.set("arq:job:job-1", payload)
    await lose(shop, MAX_LOSSES)
    traces = await shop.traces("job-1")
    assert traces.keys() == {"default:archived", "default:dead:job-1", ":records"}
    assert traces["default:dead:job-1"]["payload"] == (payload or b"")


async def test_the_progress_of_a_lost_run_goes_with_it(shop):
    _, [lease] = await claimed(shop, "job-1")
    await shop.jobs.progress(lease, 3, 10)
    await shop.advance(LEASE_MS + 1)
    await shop.recover()
    assert "p" not in await shop.jobs.looks.side("default", "job-1")


async def test_a_side_that_nobody_can_read_stops_no_other(shop):
    await claimed(shop, "a", "b")
    await shop.redis.hset("jobsd:{main}:default:side", "a", "not json")
    await shop.advance(LEASE_MS + 1)
    assert await shop.recover() == ["a", "b"]
    assert await shop.jobs.looks.side("default", "a") == {"n": 1, "l": 1, "w": [["w1", START, None]]}


async def test_where_nothing_is_recorded_the_end_of_a_job_of_the_outbox_is_told_all_the_same(shop):
    payload = a_payload().replace(b'{"i":"', b'{"i":"o', 1)
    payload = payload[:18] + payload[19:]
    await shop.enqueue([a_job("outbox", payload=payload), a_job("plain")])
    for n in range(1, MAX_LOSSES + 1):
        assert await shop.hand(f"w{n}").claim()
        await shop.advance(LEASE_MS + 1)
        assert await shop.recover(records=False)
    [entry] = await shop.records()
    run, told = read(entry["outbox"])
    assert (run.transition, told) == ("archived", payload)
    assert list(entry) == ["outbox"]


async def test_so_is_that_it_was_cancelled(shop):
    payload = a_payload().replace(b'{"i":"', b'{"i":"o', 1)
    payload = payload[:18] + payload[19:]
    await shop.enqueue([a_job("outbox", payload=payload), a_job("plain")])
    for job_id in ("outbox", "plain"):
        assert await shop.jobs.cancel("default", job_id, records=False) == "cancelled"
    [entry] = await shop.records()
    assert list(entry) == ["outbox"]
