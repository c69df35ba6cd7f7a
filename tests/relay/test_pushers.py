"""Who brings jobs of the outbox to Redis: how many at once, what holds one up, what is done while a server is away."""

from __future__ import annotations

import pytest

from jobsd.records.outbox import handover
from jobsd.relay import outbox
from jobsd.relay.outbox import Pusher
from jobsd.store.outbox import PushedJobs
from tests.relay.conveyor import a_gate, a_pool
from tests.relay.office import BASE
from tests.waiting import until


async def test_what_a_pusher_has_in_hand_is_others_after_six_seconds(office):
    async with handover(office.belt.pool, "", 10) as taken:
        setting = "SELECT current_setting('idle_in_transaction_session_timeout')"
        assert await taken._connection.fetchval(setting) == "6s"
    async with office.belt.pool.connection() as connection:
        assert await connection.fetchval("SELECT current_setting('idle_in_transaction_session_timeout')") == "0"


@pytest.fixture
def pushes(monkeypatch) -> list[int]:
    """Return a list of how many jobs each push had, of those that were answered."""
    pushed = PushedJobs.push
    counts: list[int] = []

    async def counted(self, life, jobs):
        letters = await pushed(self, life, jobs)
        counts.append(len(jobs))
        return letters

    monkeypatch.setattr(PushedJobs, "push", counted)
    return counts


async def test_of_large_jobs_few_are_pushed_at_once(office, monkeypatch, pushes):
    await office.enqueue(*range(5))
    size = len((await office.rows())[0]["payload"])
    monkeypatch.setattr(outbox, "_MOST_BYTES", 2 * size)
    async with office.pusher().running():
        await until(lambda: sum(pushes) == 5)
    assert pushes == [2, 2, 1]


async def test_where_many_at_once_take_too_long_fewer_are_pushed(office, monkeypatch, pushes):
    monkeypatch.setattr(outbox, "MOST_PUSHED", 8)
    monkeypatch.setattr(outbox, "POLL_S", 0.02)
    answered = PushedJobs.push

    async def too_slow(self, life, jobs):
        if len(jobs) > 2:
            raise TimeoutError
        return await answered(self, life, jobs)

    monkeypatch.setattr(PushedJobs, "push", too_slow)
    await office.enqueue(*range(8))
    async with office.pusher().running():
        await until(lambda: sum(pushes) == 8)
    assert pushes == [2, 2, 2, 2]


async def test_a_redis_that_is_emptied_between_the_question_and_the_push_is_asked_again(office, monkeypatch):
    pushed = PushedJobs.push
    lives: list[str] = []

    async def emptied_once(self, life, jobs):
        lives.append(life.epoch)
        if len(lives) == 1:
            await office.redis.flushall()
        return await pushed(self, life, jobs)

    monkeypatch.setattr(PushedJobs, "push", emptied_once)
    async with office.pusher().running():
        await office.enqueue(1)
        await until(office.in_redis)
    assert lives[0] != lives[1]


async def test_a_queue_that_nobody_serves_where_those_are_refused_holds_its_jobs_until_somebody_does(office):
    await office.redis.hset("jobsd:{main}::state", "unknown", "refuse")
    async with office.pusher().running():
        await office.enqueue(1)

        async def held():
            [row] = await office.rows()
            return row["problem"] == "no daemon serves a queue 'default'"

        await until(held)
        assert await office.in_redis() == 0
        await office.redis.sadd("jobsd:{main}::queues", BASE)
        await until(office.in_redis)


async def test_members_that_are_none_of_ours_hold_nobody_up(office):
    await office.redis.zadd("jobsd:{main}::outbox", {f"strange-{n}": 1 for n in range(600)})
    async with office.pusher().running():
        await office.enqueue(1)
        await until(office.in_redis)


async def test_while_the_outbox_is_empty_redis_is_asked_nothing_but_what_it_may_forget(office, monkeypatch):
    monkeypatch.setattr(outbox, "POLL_S", 0.01)
    looks = 0

    def ready() -> bool:
        nonlocal looks
        looks += 1
        return True

    async with Pusher(office.belt.pool, PushedJobs(office.redis), ready).running():
        await until(lambda: looks > 2)
        before = looks
        commands = (await office.redis.info("stats"))["total_commands_processed"]
        await until(lambda: looks > before + 20)
        asked = (await office.redis.info("stats"))["total_commands_processed"] - commands
    assert asked <= 1 + 3  # our own INFO, and one look at what may be forgotten


async def test_a_commit_while_there_is_no_ledger_does_not_keep_the_loop_from_others(office):
    looks: list[bool] = [True]

    def ready() -> bool:
        looks.append(looks[0])
        return looks[0]

    async with Pusher(office.belt.pool, PushedJobs(office.redis), ready).running():
        await office.enqueue(1)
        await until(office.in_redis)
        looks[0] = False
        await office.enqueue(2)
        await until(lambda: looks.count(False) > 2)
        looks[0] = True

        async def both():
            return await office.in_redis() == 2

        await until(both)


async def test_while_postgres_is_away_the_pusher_waits_and_then_goes_on(office, database_url):
    async with a_gate(database_url) as gate:
        await gate.open()
        async with a_pool(gate.url) as pool:
            pusher = Pusher(pool, PushedJobs(office.redis), lambda: True)
            async with pusher.running():
                await office.enqueue(1)
                await until(office.in_redis)
                await gate.shut()
                await office.enqueue(2)
                await until(lambda: pusher.failures)
                await gate.open()

                async def both():
                    return await office.in_redis() == 2

                await until(both)


async def test_who_is_not_ready_any_more_has_not_recovered(office, database_url, caplog):
    caplog.set_level("INFO", "jobsd")
    looks: list[bool] = [True]

    def ready() -> bool:
        looks.append(looks[0])
        return looks[0]

    async with a_gate(database_url) as gate, a_pool(gate.url) as pool:
        await gate.open()
        pusher = Pusher(pool, PushedJobs(office.redis), ready)
        async with pusher.running():
            await until(lambda: len(looks) > 2)
            await gate.shut()
            await until(lambda: pusher.failures)
            looks[0] = False
            await until(lambda: looks.count(False) > 2)
            assert pusher.failures
        said = [record.message for record in caplog.records if getattr(record, "service", "") == "Pusher"]
        assert said == ["service.failed"]
