"""Hands that claim, end, fall silent and repeat themselves at random: no job is lost, doubled or stranded."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from jobsd.store.keys import PARKED
from tests.store.shop import LEASE_MS, Hand, Shop, a_job, a_result, an_ending

if TYPE_CHECKING:
    from jobsd.store.jobs import Ending, Lease

QUEUES = ("high", "low")
STEPS = 150


class Walk:
    """``removed`` and ``accepted`` are what the script's answers say; the rest is read from Redis."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop = shop
        self.random = random.Random(seed)
        self.hands = [shop.hand(f"w{n}") for n in range(4)]
        self.enqueued: set[str] = set()
        self.removed: set[str] = set()
        self.accepted: set[str] = set()

    async def step(self) -> None:
        moves = (
            self.enqueue,
            self.claim,
            self.claim,
            self.finish,
            self.finish,
            self.extend,
            self.wait,
            self.keep_house,
        )
        await self.random.choice(moves)(self.random.choice(self.hands))

    async def enqueue(self, _: Hand) -> None:
        batch = [
            a_job(
                f"job-{len(self.enqueued) + n}",
                queue=self.random.choice(QUEUES),
                when=self.random.choice(["", "+9000"]),
            )
            for n in range(self.random.randint(1, 5))
        ]
        assert all(await self.shop.enqueue(batch))
        if self.random.random() < 0.3:  # the answer was lost
            assert all(await self.shop.enqueue_again(batch))
        self.enqueued |= {job.id for job in batch}

    async def claim(self, hand: Hand) -> None:
        slots = self.random.randint(1, 6)
        running = await self.members("active")
        leases = await hand.claim(slots, **dict.fromkeys(QUEUES, 3))
        assert len(leases) <= slots
        # Whoever is still listed had a lease that is over, and this very claim took it back.
        assert all(running.get(lease.id, 0) < self.shop.now for lease in leases)
        if self.random.random() < 0.3:  # the answer was lost
            lost = [lease.mark for lease in leases]
            hand.held = [lease for lease in hand.held if lease.mark not in lost]
            if self.random.random() < 0.5:
                again = (await hand.claim_again(slots, **dict.fromkeys(QUEUES, 3))).leases
                assert [lease.mark for lease in again] == lost
                hand.held += again

    async def extend(self, hand: Hand) -> None:
        lost = await hand.extend()
        hand.held = [lease for lease in hand.held if lease not in lost]

    async def finish(self, hand: Hand) -> None:
        if not hand.held:
            return
        leases = self.random.sample(hand.held, self.random.randint(1, len(hand.held)))
        batch = [self.ending(lease) for lease in leases]
        answers = await hand.finish(*batch)
        if self.random.random() < 0.3:
            assert await hand.finish_again(*batch) == answers
        for ending, accepted in zip(batch, answers, strict=True):
            if accepted:
                assert ending.lease.mark not in self.accepted
                self.accepted.add(ending.lease.mark)
                if ending.move == "D":
                    self.removed.add(ending.lease.id)

    def ending(self, lease: Lease) -> Ending:
        side = json.dumps(json.loads(lease.side or "{}") | {"n": lease.attempt})
        match self.random.choice("CCCRSQPAD"):
            case "C":
                return an_ending(lease, "C", 10**9, result=a_result(lease))
            case "P":
                return an_ending(lease, "P", lease.due, "task:x")
            case "Q":
                return an_ending(lease, "Q", lease.due, side)
            case "R" | "S" as move:
                return an_ending(lease, move, self.shop.now + 5000, side)
            case move:
                return an_ending(lease, move, 0, "{}")

    async def wait(self, _: Hand) -> None:
        if self.random.random() < 0.1:
            await self.shop.jump(LEASE_MS)
        else:
            alive = self.random.sample(self.hands, 3)
            await self.shop.advance(self.random.randint(1, LEASE_MS), *alive)

    async def keep_house(self, _: Hand) -> None:
        await self.shop.recover(*QUEUES)
        queue = self.random.choice(QUEUES)
        await self.shop.jobs.release(queue, ["task:x"])
        for job_id in await self.members("active"):
            if self.random.random() < 0.2:  # as arq's Job.abort does
                await self.shop.redis.zadd(f"jobsd:{{main}}:{queue}", {job_id: 1}, xx=True)

    async def members(self, companion: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for queue in QUEUES:
            key = f"jobsd:{{main}}:{queue}" + (f":{companion}" if companion else "")
            page = await self.shop.redis.zrange(key, 0, -1, withscores=True)
            found |= {job_id.decode(): int(score) for job_id, score in page}
        return found

    async def check(self) -> None:
        waiting, active = await self.members(""), await self.members("active")
        completed, archived = await self.members("completed"), await self.members("archived")
        keys = await self.shop.keys()
        places = [set(waiting), set(completed), set(archived), self.removed]
        assert set.union(*places) == self.enqueued
        assert sum(map(len, places)) == len(self.enqueued)
        assert _named("arq:job:", keys) == set(waiting)
        assert _named("arq:in-progress:", keys) == set(active) <= set(waiting)
        assert set(await self.members("retry")) <= set(waiting) - set(active)
        parked = {job_id for job_id, score in waiting.items() if score == PARKED}
        assert set(await self.members("parked:task:x")) == parked

    async def finish_up(self) -> None:
        """Let everybody fall silent, and one worker complete what is left."""
        last = self.shop.hand("last")
        await self.shop.advance(4 * LEASE_MS)
        for queue in QUEUES:
            await self.shop.jobs.release(queue, ["task:x"])
        while await self.members(""):
            leases = await last.claim(500, **dict.fromkeys(QUEUES, 500))
            assert all(await last.finish(*(an_ending(lease, "C", 10**9, result=a_result(lease)) for lease in leases)))
            await self.shop.advance(LEASE_MS, last)


def _named(prefix: str, keys: set[str]) -> set[str]:
    return {key.removeprefix(prefix) for key in keys if key.startswith(prefix)}


@pytest.mark.parametrize("seed", range(4))
async def test_every_job_is_in_one_place_at_every_step_and_has_an_end(shop, seed):
    walk = Walk(shop, seed)
    for _ in range(STEPS):
        await walk.step()
        await walk.check()
    await walk.finish_up()
    await walk.check()
    assert len(walk.enqueued) > 20
    assert not _named("arq:job:", await shop.keys())
    live = ("active", "retry", "side", "parked:task:x")
    assert not {f"{queue}:{companion}" for queue in QUEUES for companion in live} & await shop.keys()
