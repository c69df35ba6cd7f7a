"""Cancelling a job that runs: its worker is told, says how far it is, and the job never runs again."""

from __future__ import annotations

import json

import pytest

from jobsd.store.cancels import Cancels
from tests.store.shop import LEASE_MS, START, Hand, Shop, an_ending, archived, claimed, completed, ids

GOES_ON = {
    "retried": lambda lease: an_ending(lease, "R", START + 1000, '{"n":1,"f":1}'),
    "snoozed": lambda lease: an_ending(lease, "S", START + 1000, '{"n":1}'),
    "requeued": lambda lease: an_ending(lease, "Q", START),
    "parked": lambda lease: an_ending(lease, "P", START, "task:x"),
    "tagged": lambda lease: an_ending(lease, "L", START, "r=s"),
}
ENDS = {"completed": completed, "archived": archived, "removed": lambda lease: an_ending(lease, "D")}
CANCELS = ":cancels"


@pytest.fixture
def cancels(shop) -> Cancels:
    cancels = Cancels(shop.redis)
    cancels._jobs = shop.jobs  # they go by the shop's clock
    return cancels


async def letters(shop: Shop, hand: Hand, *endings) -> str:
    """Finish, and return the script's own answer."""
    hand.batches += 1
    return await shop.jobs.finish(
        hand.name, hand.batches, endings, keep_completed_count=100, keep_archived_ms=10**10, keep_archived_count=100
    )


async def test_the_worker_of_a_running_job_is_told_which_run_is_meant(shop, cancels):
    _, [lease] = await claimed(shop, "job-1")
    before = await shop.traces("job-1")
    assert await cancels.ask("default", "job-1") == "requested"
    assert await cancels.asked() == {"job-1": ("requested", lease.mark)}
    assert await shop.redis.lrange("jobsd:{main}::cancel:w1", 0, -1) == [b"1"]
    assert {key: said for key, said in (await shop.traces("job-1")).items() if key in before} == before


async def test_many_cancels_make_one_token_of_each_worker(shop, cancels):
    await claimed(shop, "a", "b")
    await shop.put("c")
    await shop.hand("w2").claim()
    for job_id in "abcab":
        assert await cancels.ask("default", job_id) == "requested"
    for worker in ("w1", "w2"):
        assert await shop.redis.llen(f"jobsd:{{main}}::cancel:{worker}") == 1
        assert await shop.redis.pttl(f"jobsd:{{main}}::cancel:{worker}") > 0, "it ends though the worker is dead"


async def test_who_asks_again_learns_how_far_it_is(shop, cancels):
    _, [lease] = await claimed(shop, "job-1")
    await cancels.ask("default", "job-1")
    for state in ("delivered", "resisting"):
        assert await cancels.tell("job-1", lease.mark, state)
        assert (await cancels.ask("default", "job-1"), await cancels.state("job-1")) == (state, state)


async def test_nobody_tells_of_a_run_that_is_not_the_one_that_is_meant(shop, cancels):
    hand, [lease] = await claimed(shop, "job-1")
    assert not await cancels.tell("job-1", lease.mark, "delivered"), "nobody asked"
    await cancels.ask("default", "job-1")
    assert not await cancels.tell("job-1", lease.mark.replace("w1", "w2"), "resisting")
    assert await cancels.state("job-1") == "requested"
    await hand.finish(completed(lease))
    assert not await cancels.tell("job-1", lease.mark, "delivered")
    assert CANCELS not in await shop.keys()


@pytest.mark.parametrize("ending", GOES_ON.values(), ids=GOES_ON.keys())
async def test_an_ending_that_would_let_it_run_again_is_not_written(shop, cancels, ending):
    hand, [lease] = await claimed(shop, "job-1")
    await cancels.ask("default", "job-1")
    before = await shop.traces("job-1")
    assert await letters(shop, hand, ending(lease)) == "c"
    assert await shop.traces("job-1") == before
    assert await letters(shop, hand, archived(lease)) == "a"
    assert CANCELS not in await shop.keys()


@pytest.mark.parametrize("ending", ENDS.values(), ids=ENDS.keys())
async def test_an_ending_for_good_is_written_and_ends_the_cancel(shop, cancels, ending):
    hand, [lease] = await claimed(shop, "job-1")
    await cancels.ask("default", "job-1")
    assert await letters(shop, hand, ending(lease)) == "a"
    assert CANCELS not in await shop.keys()
    assert await cancels.ask("default", "job-1") in {"ended", "unknown"}


async def test_the_others_of_its_batch_end_as_they_are(shop, cancels):
    hand, [a, b, c] = await claimed(shop, "a", "b", "c")
    await cancels.ask("default", "b")
    endings = [an_ending(lease, "R", START + 1000, '{"n":1,"f":1}') for lease in (a, b, c)]
    assert await letters(shop, hand, *endings) == "aca"
    assert [await shop.score(job_id) for job_id in "abc"] == [START + 1000, START + LEASE_MS, START + 1000]


async def test_a_batch_whose_answer_was_lost_is_answered_the_same(shop, cancels):
    hand, [lease] = await claimed(shop, "job-1")
    await cancels.ask("default", "job-1")
    ending = an_ending(lease, "Q", START)
    assert await letters(shop, hand, ending) == "c"
    hand.batches -= 1
    assert await letters(shop, hand, ending) == "c"


async def test_a_stale_ending_of_a_job_that_is_to_be_cancelled_is_stale(shop, cancels):
    first, [lease] = await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1)
    await shop.hand("w2").claim()
    await cancels.ask("default", "job-1")
    assert await letters(shop, first, an_ending(lease, "Q", START)) == "s"
    assert await cancels.state("job-1") == "requested"


async def test_a_cancelled_run_gives_back_limits_and_key(shop, cancels):
    await shop.limit("default", ":::1::||")
    await shop.limit("r=s", "1:::::||")
    limits = "k=a,r=s,u=0123456789abcdef01234567/3600000"
    await shop.put_limited(limits, "job-1")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await cancels.ask("default", "job-1")
    assert await letters(shop, hand, an_ending(lease, "Q", START)) == "c"
    assert await letters(shop, hand, archived(lease)) == "a"
    await shop.put_limited(limits, "job-2")
    assert ids(await hand.claim()) == ["job-2"]


@pytest.mark.parametrize("how", ["recover", "claim"])
async def test_a_job_of_a_dead_worker_is_archived_instead_of_given_back(shop, cancels, how):
    await shop.limit("default", ":::1::||")
    await shop.put_limited("k=a,u=0123456789abcdef01234567/3600000", "job-1")
    await shop.hand("w1").claim()
    await cancels.ask("default", "job-1")
    await shop.advance(LEASE_MS + 1)
    lost = await shop.recover() if how == "recover" else (await shop.hand("w2").ask()).lost
    assert lost == ["job-1"]
    message = "lost: worker w1 fell silent; this job was to be cancelled"
    traces = await shop.traces("job-1")
    assert traces.keys() == {"arq:result:job-1", "default:archived", "default:dead:job-1", ":records"}
    info = traces["default:dead:job-1"]["info"]
    assert (info["outcome"], info["message"], info["due"]) == ("cancelled", message, START)
    assert json.loads(traces["arq:result:job-1"])["r"] == {"type": "CancelledError", "message": message}
    [record] = traces[":records"]
    assert json.loads(record.partition(b"\n")[0])[-2:] == ["archived", message]
    assert not {CANCELS, "default:held"} & await shop.keys()
    assert await cancels.ask("default", "job-1") == "ended"


async def test_a_job_whose_claim_was_never_answered_is_archived_as_a_run_that_it_did_not_have(shop, cancels):
    await shop.put("job-1")
    hand = shop.hand("w1")
    await hand.ask()
    hand.held.clear()  # its worker beats, and knows nothing of the lease
    await cancels.ask("default", "job-1")
    await shop.advance(LEASE_MS + 1, hand)
    assert await shop.recover() == []
    traces = await shop.traces("job-1")
    assert traces.keys() >= {"arq:result:job-1", "default:archived", "default:dead:job-1"}
    assert not {"default", "default:active", "arq:in-progress:job-1", "arq:job:job-1"} & traces.keys()
    assert traces["default:dead:job-1"]["info"]["outcome"] == "cancelled"
    assert CANCELS not in await shop.keys()


async def test_a_job_whose_mark_somebody_deleted_is_archived_when_its_lease_runs_out(shop, cancels):
    await shop.limit("default", ":::1::||")
    await shop.put_limited("k=a", "job-1", "job-2")
    hand = shop.hand("w1")
    await hand.claim()
    await shop.redis.delete("arq:in-progress:job-1")
    assert await cancels.ask("default", "job-1") == "requested"
    await shop.advance(LEASE_MS + 1, hand)
    await shop.recover()
    traces = await shop.traces("job-1")
    assert "default:archived" in traces
    facts, now = json.loads(traces[":records"][0].partition(b"\n")[0]), shop.now
    assert facts == ["cancelled", "job-1", "default", 1, now, now, now, "", "archived", "cancelled"]
    assert ids(await hand.claim()) == ["job-2"]


async def test_the_next_run_of_a_job_is_not_cancelled_for_the_last_one(shop, cancels):
    hand, [lease] = await claimed(shop, "job-1")
    await cancels.ask("default", "job-1")
    await hand.finish(archived(lease, '{"n":1}'))
    await shop.jobs.rerun("default", "job-1")
    [again] = await hand.claim()
    assert await letters(shop, hand, an_ending(again, "Q", START)) == "a"
    assert await cancels.asked() == {}


async def test_workers_are_told_on_a_server_that_is_full(shop, cancels, redis):
    _, [lease] = await claimed(shop, "job-1")
    await redis.config_set("maxmemory", 1)
    try:
        assert await cancels.ask("default", "job-1") == "requested"
        assert await cancels.tell("job-1", lease.mark, "delivered")
    finally:
        await redis.config_set("maxmemory", 0)
