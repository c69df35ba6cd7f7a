"""When everybody was silent it was the server that was away: for one lease nobody is taken for dead."""

from __future__ import annotations

import pytest

from tests.store.shop import LEASE_MS, Shop, claimed, completed

HALF = LEASE_MS // 2


async def test_after_half_a_lease_of_silence_nothing_is_recovered_for_one_lease(shop):
    await claimed(shop, "job-1")
    await shop.jump(LEASE_MS + 1)
    assert await shop.recover() == []
    await shop.advance(LEASE_MS - 1)
    assert await shop.recover() == []
    await shop.advance(1)
    assert await shop.recover() == ["job-1"]


async def test_less_silence_than_that_changes_nothing(shop):
    await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1 - HALF)
    await shop.jump(HALF)
    assert await shop.recover() == ["job-1"]


async def test_a_worker_that_comes_back_in_the_amnesty_writes_its_endings_and_keeps_its_leases(shop):
    hand, [done, running] = await claimed(shop, "done", "running")
    await shop.jump(10 * LEASE_MS)
    assert await shop.recover() == []
    assert await hand.finish(completed(done)) == [True]
    await shop.advance(2 * LEASE_MS, hand)
    assert await shop.recover() == []
    assert await hand.finish(completed(running)) == [True]


async def test_when_time_goes_backwards_nothing_is_recovered_for_one_lease(shop):
    await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 5000)
    await shop.jump(-1001)
    assert await shop.recover() == []
    await shop.advance(LEASE_MS)
    assert await shop.recover() == ["job-1"]


async def test_a_clock_that_is_put_right_by_a_second_is_no_outage(shop):
    await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 5000)
    await shop.jump(-1000)
    assert await shop.recover() == ["job-1"]


async def test_an_hour_backwards_does_not_make_the_amnesty_an_hour_long(shop):
    await shop.jump(LEASE_MS)
    await shop.recover()  # an amnesty begins here
    await shop.jump(-3_600_000)
    await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1)
    assert await shop.recover() == ["job-1"]


async def test_a_fresh_server_begins_with_an_amnesty(shop):
    await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1)
    await shop.redis.delete("jobsd:{main}::state")
    assert await shop.recover() == []
    await shop.advance(LEASE_MS - 1)
    assert await shop.recover() == []
    await shop.advance(1)
    assert await shop.recover() == ["job-1"]


async def test_claims_give_out_what_is_due_during_an_amnesty_and_nothing_that_is_leased(shop):
    await claimed(shop, "leased")
    await shop.jump(LEASE_MS + 1)
    await shop.put("due")
    [lease] = await shop.hand("w2").claim()
    assert lease.id == "due"
    assert "default:active" in await shop.traces("leased")


async def silence_broken_by(shop: Shop, sign: str) -> None:
    match sign:
        case "claim":
            await shop.hand("w9").claim(1, low=1)
        case "extend":
            await shop.hand("w9").extend()
        case "recover":
            await shop.recover("low")


@pytest.mark.parametrize("sign", ["claim", "extend", "recover"])
async def test_any_claim_beat_or_recovery_is_a_sign_of_life_of_the_server(shop, sign):
    await claimed(shop, "job-1")
    for _ in range(3):
        await shop.jump(HALF)
        await silence_broken_by(shop, sign)
    assert await shop.recover() == ["job-1"]
