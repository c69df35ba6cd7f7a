from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from tests.store.shop import START, a_job, an_ending, claimed, completed, ids


async def test_a_job_is_its_payload_and_its_place_in_the_queue_and_nothing_else(shop):
    job = a_job("job-1")
    assert await shop.enqueue([job]) == [True]
    assert await shop.traces("job-1") == {"arq:job:job-1": job.payload, "default": START}


async def test_a_relative_delay_counts_from_the_clock_of_the_server(shop):
    await shop.put("job-1", when="+500")
    assert await shop.score("job-1") == START + 500


async def test_an_absolute_time_is_taken_as_it_is(shop):
    await shop.put("later", when=str(START + 60_000))
    await shop.put("earlier", when=str(START - 60_000))
    assert await shop.score("later") == START + 60_000
    assert await shop.score("earlier") == START - 60_000


async def test_a_delayed_job_runs_in_its_millisecond_and_in_none_before(shop):
    await shop.put("job-1", when="+500")
    hand = shop.hand("w1")
    await shop.jump(499)
    assert await hand.claim() == []
    await shop.jump(1)
    assert ids(await hand.claim()) == ["job-1"]


async def test_jobs_of_one_call_go_to_the_queues_they_name(shop):
    await shop.enqueue([a_job("a", queue="high"), a_job("b", queue="low"), a_job("c", queue="high")])
    assert await shop.redis.zrange("jobsd:{main}:high", 0, -1) == [b"a", b"c"]
    assert await shop.redis.zrange("jobsd:{main}:low", 0, -1) == [b"b"]


async def test_a_queue_is_known_from_its_first_job_on(shop):
    assert await shop.jobs.looks.queues() == []
    await shop.enqueue([a_job("a", queue="low"), a_job("b", queue="arq:queue")])
    assert await shop.jobs.looks.queues() == ["arq:queue", "low"]


async def test_a_thousand_jobs_go_in_one_call_and_come_out_in_order(shop):
    names = [f"job-{n:04}" for n in range(1000)]
    await shop.put(*names)
    hand = shop.hand("w1")
    assert ids(await hand.claim(500)) == names[:500]
    assert ids(await hand.claim(500)) == names[500:]


async def test_an_id_whose_job_waits_is_refused_and_its_holder_left_as_it_is(shop):
    [holder] = await shop.put("job-1", when="+500")
    assert await shop.enqueue([a_job("job-1"), a_job("job-2")]) == [False, True]
    assert await shop.traces("job-1") == {"arq:job:job-1": holder.payload, "default": START + 500}


async def test_an_id_whose_job_runs_is_refused(shop):
    await claimed(shop, "job-1")
    running = await shop.traces("job-1")
    assert await shop.enqueue([a_job("job-1")]) == [False]
    assert await shop.traces("job-1") == running


async def test_an_id_is_refused_for_any_queue(shop):
    await shop.put("job-1", queue="high")
    assert await shop.enqueue([a_job("job-1", queue="low")]) == [False]
    assert await shop.score("job-1", "low") is None


async def test_an_id_whose_result_is_kept_is_refused(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(completed(lease))
    finished = await shop.traces("job-1")
    assert await shop.enqueue([a_job("job-1")]) == [False]
    assert await shop.traces("job-1") == finished


async def test_of_an_id_twice_in_one_call_the_first_is_stored(shop):
    first, second = a_job("job-1"), a_job("job-1", when="+500")
    assert await shop.enqueue([first, second]) == [True, False]
    assert await shop.traces("job-1") == {"arq:job:job-1": first.payload, "default": START}


async def test_an_id_may_be_used_again_when_nothing_is_left_of_its_job(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "D"))
    assert await shop.enqueue([a_job("job-1")]) == [True]


async def test_a_call_whose_answer_was_lost_is_answered_the_same_and_stores_nothing_more(shop):
    batch = [a_job("a"), a_job("b", when="+500"), a_job("a"), a_job("c", queue="low")]
    first = await shop.enqueue(batch)
    stored = await shop.everything()
    await shop.jump(1000)  # were it stored again, its time would tell
    assert await shop.enqueue_again(batch) == first == [True, True, False, True]
    assert await shop.everything() == stored


@pytest.mark.parametrize("move", ["C", "A", "D"])
async def test_a_repeated_call_does_not_run_a_job_again_that_has_ended_meanwhile_and_left_no_trace(shop, move):
    job = a_job("job-1")
    await shop.enqueue([job])
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await hand.finish(an_ending(lease, move, 1, "{}"))
    ended = await shop.everything()
    assert await shop.enqueue_again([job]) == [True]
    assert await shop.everything() == ended


async def test_a_job_that_runs_is_left_alone_by_a_repeated_call(shop):
    job = a_job("job-1")
    await shop.enqueue([job])
    await shop.hand("w1").claim()
    running = await shop.everything()
    assert await shop.enqueue_again([job]) == [True]
    assert await shop.everything() == running


async def test_a_repeated_call_that_stored_nothing_is_answered_the_same_though_the_id_is_free_by_now(shop):
    hand, [lease] = await claimed(shop, "job-1")
    assert await shop.enqueue([a_job("job-1")]) == [False]
    await hand.finish(an_ending(lease, "D"))
    before = await shop.everything()
    assert await shop.enqueue_again([a_job("job-1")]) == [False]
    assert await shop.everything() == before


async def test_a_copy_of_an_answered_call_that_arrives_late_stores_nothing(shop):
    job = a_job("job-1")
    await shop.enqueue([job])
    hand = shop.hand("w1")
    await hand.finish(an_ending((await hand.claim())[0], "D"))
    await shop.put("job-2")
    before = await shop.everything()
    assert await shop.enqueue_again([job], number=1) == []
    assert await shop.everything() == before


async def test_senders_number_their_calls_for_themselves(shop):
    assert await shop.jobs.enqueue("one", 1, [a_job("a")]) == [True]
    assert await shop.jobs.enqueue("other", 1, [a_job("b")]) == [True]


async def test_what_is_remembered_of_a_sender_ends_by_itself(shop):
    await shop.put("job-1")
    assert 0 < await shop.redis.pttl("jobsd:{main}::sender:client") <= 60_000


async def test_a_new_queue_is_refused_where_daemons_refuse_those_and_nothing_is_stored(shop):
    await shop.jobs.announce("w1", {"pid": "1"}, ["default"], "refuse")
    before = await shop.everything()
    with pytest.raises(ResponseError, match=r"UNKNOWNQUEUE jobsd:\{main\}:defualt"):
        await shop.enqueue([a_job("job-1"), a_job("job-2", queue="defualt")])
    assert await shop.everything() == before
    assert await shop.enqueue([a_job("job-1")]) == [True]


async def test_a_new_queue_is_accepted_again_when_a_daemon_says_so(shop):
    await shop.jobs.announce("w1", {"pid": "1"}, ["default"], "refuse")
    await shop.jobs.announce("w2", {"pid": "2"}, ["default"], "accept")
    assert await shop.enqueue([a_job("job-1", queue="defualt")]) == [True]


async def test_a_worker_that_says_nothing_of_new_queues_changes_nothing(shop):
    await shop.jobs.announce("w1", {"pid": "1"}, ["default"], "refuse")
    await shop.jobs.announce("w2", {"pid": "2"}, ["low"])
    with pytest.raises(ResponseError, match="UNKNOWNQUEUE"):
        await shop.enqueue([a_job("job-1", queue="defualt")])
    assert await shop.enqueue([a_job("job-1", queue="low")]) == [True]


async def test_a_call_without_a_job_is_answered_with_nothing(shop):
    before = await shop.everything()
    assert await shop.enqueue([]) == []
    assert await shop.everything() == before


async def test_a_call_that_fails_stores_nothing(shop):
    await shop.redis.set("app:list", "no queue")
    job = a_job("job-1", queue="app:list")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await shop.enqueue([job])
    assert not await shop.redis.exists("arq:job:job-1")
