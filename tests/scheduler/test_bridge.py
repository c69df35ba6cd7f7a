"""While Postgres is away schedules go on in Redis, and nothing is fired twice when it is back."""

from __future__ import annotations

import pytest

from jobsd.events import Event
from jobsd.schedule.state import Change, Past
from jobsd.scheduler.bridge import Bridge
from jobsd.store.spare_schedules import SpareSchedules
from tests.scheduler.conftest import a_schedule
from tests.waiting import until

pytestmark = pytest.mark.parametrize("ground", ["postgres"], indirect=True)


async def test_each_due_time_has_one_job_before_and_while_and_after_postgres_is_away(ground, caplog):
    caplog.set_level("INFO")
    async with ground.scheduler(a_schedule(overlap="allow")):
        await until(ground.fired)
        before = await ground.fired()
        ground.judge.away = True

        async def jobs(number):
            return len(await ground.jobs()) >= number

        await until(lambda: jobs(len(before) + 2))
        meanwhile = len(await ground.jobs())
        ground.judge.away = False

        async def after():
            return len(await ground.fired()) >= meanwhile + 1

        await until(after)
    await until(lambda: jobs(meanwhile + 1))
    fired = await ground.fired()
    assert fired == list(range(fired[0], fired[-1] + 1, 1000))
    jobs = await ground.jobs()
    assert len(jobs) == len(set(jobs)) == len(fired)
    assert (await ground.entry()).state.runs == len(fired)
    assert not await SpareSchedules(ground.redis).names()
    assert await ground.redis.exists("jobsd:{main}::spared:nightly") == 0
    assert Event.SCHEDULES_CARRIED in [record.message for record in caplog.records]


async def test_what_came_through_the_outbox_a_moment_before_is_not_fired_again(ground):
    async with ground.scheduler(a_schedule(overlap="allow")):
        await until(ground.jobs)
        [job, *_] = await ground.jobs()
        due = (await ground.fired())[0]
    await ground.redis.delete(f"arq:job:{job}")  # it has ended, and has left no result
    await ground.redis.zrem("jobsd:{main}:default", job)
    async with ground.scheduler(a_schedule(overlap="allow")) as scheduler:
        await until(lambda: "nightly" in scheduler.plans)
        ground.judge.away = True
        plan = scheduler.plans["nightly"]
        scheduler.plans.note("nightly", plan.state._replace(cursor=due - 1), due)  # as one that had not seen it

        async def decided():
            spares = await SpareSchedules(ground.redis).look(["nightly"])
            return "nightly" in spares and spares["nightly"].state.cursor >= due

        await until(decided)
        assert job not in await ground.jobs()
        ground.judge.away = False


async def test_what_is_carried_twice_counts_once(ground):
    await ground.store.declare([a_schedule("@yearly")], "f", at_start=True)
    entry = await ground.entry()
    line = Past("nightly", 1000, "fired", "", 1, "cron:nightly:1970-01-01T00:00:01Z", manual=False, decided_at=1000)
    for version in (entry.version, entry.version + 1):
        assert await ground.store.apply([Change("nightly", version, entry.state, carried=[line])])
    [found] = await ground.store.history("nightly", 10)
    assert (found.due, found.state, found.job_id) == (1000, "fired", line.job_id)


async def test_a_pause_that_was_said_before_postgres_went_away_lasts(ground):
    spares = SpareSchedules(ground.redis)
    await ground.store.declare([a_schedule("@yearly")], "f", at_start=True)
    entry = await ground.entry()
    paused = entry.state._replace(paused_at=1, paused_by="somebody")
    assert await ground.store.apply([Change("nightly", entry.version, paused)])
    further = entry.state._replace(cursor=entry.state.cursor + 5000)
    assert await spares.apply([Change("nightly", 0, further)]) == {"nightly"}
    assert (await Bridge(spares).carry(ground.store))[0]
    state = (await ground.entry()).state
    assert (state.cursor, state.paused_by) == (further.cursor, "somebody")
    assert not (await Bridge(spares).carry(ground.store))[0]
