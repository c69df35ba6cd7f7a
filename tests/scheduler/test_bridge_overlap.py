"""Runs of a schedule do not overlap, and are not held up for nothing, while Postgres is away and when it is back."""

from __future__ import annotations

import pytest

from jobsd.schedule.state import Change, Passed
from jobsd.scheduler.bridge import Bridge
from jobsd.store.spare_schedules import SpareSchedules
from tests.scheduler.conftest import a_schedule
from tests.waiting import until

pytestmark = pytest.mark.parametrize("ground", ["postgres"], indirect=True)


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch):
    monkeypatch.setattr("jobsd.scheduler.scheduler._PATIENCE_MS", 100)


async def test_a_run_that_began_while_postgres_was_away_is_waited_for_when_it_is_back(ground):
    async with ground.scheduler(a_schedule(overlap="queue")):
        await until(ground.jobs)
        [first] = await ground.jobs()
        ground.judge.away = True
        await ground.end(first)

        async def began_meanwhile():
            return [job for job in await ground.jobs() if job != first]

        await until(began_meanwhile)
        [second] = await began_meanwhile()
        ground.judge.away = False

        async def carried():
            return len(await ground.fired()) == 2

        await until(carried)
        waiting = (await ground.entry()).state.waiting

        async def more_wait():
            return len((await ground.entry()).state.waiting) > len(waiting)

        await until(more_wait)
        assert await ground.jobs() == [second]


async def test_a_schedule_whose_last_run_is_long_over_goes_on_while_postgres_is_away(ground):
    schedule = a_schedule("@every 2s", overlap="skip")
    await ground.store.declare([schedule], "f", at_start=True)
    entry = await ground.entry()
    long_ago = entry.state._replace(
        last_job="cron:nightly:long-ago o0123456789a", last_due=entry.state.cursor - 600_000
    )
    assert await ground.store.apply([Change("nightly", entry.version, long_ago)])
    async with ground.scheduler(schedule) as scheduler:
        await until(lambda: "nightly" in scheduler.plans)
        ground.judge.away = True
        await until(ground.jobs)  # nothing else can have made it
        ground.judge.away = False


async def test_due_times_that_were_passed_over_together_are_carried_as_such(ground):
    spares = SpareSchedules(ground.redis)
    await ground.store.declare([a_schedule("* * * * * *", seconds=True)], "f", at_start=True)
    entry = await ground.entry()
    due = entry.state.cursor // 1000 * 1000 + 1000
    all_three = Passed(due, due + 2000, 3, "overlap")
    assert await spares.apply([Change("nightly", 0, entry.state._replace(cursor=due + 2000), passed=[all_three])])
    assert (await Bridge(spares).carry(ground.store))[0]
    rows = await ground.pool.fetch(
        "SELECT extract(epoch FROM last_due_at - due_at) AS s, due_times FROM jobsd.schedule_runs"
    )
    assert [(row["s"], row["due_times"]) for row in rows] == [(2, 3)]


async def test_what_postgres_had_passed_over_before_is_not_carried_again_and_hides_nothing_behind_it(ground):
    spares = SpareSchedules(ground.redis)
    await ground.store.declare([a_schedule("* * * * * *", seconds=True)], "f", at_start=True)
    entry = await ground.entry()
    due = entry.state.cursor // 1000 * 1000 + 1000
    known, all_three = Passed(due, due, 1, "overlap"), Passed(due, due + 2000, 3, "overlap")
    assert await ground.store.apply(
        [Change("nightly", entry.version, entry.state._replace(cursor=due), passed=[known])]
    )
    assert await spares.apply([Change("nightly", 0, entry.state._replace(cursor=due + 2000), passed=[all_three])])
    assert (await Bridge(spares).carry(ground.store))[0]
    rows = await ground.pool.fetch(
        "SELECT extract(epoch FROM due_at) * 1000 - $1::bigint AS ms, due_times FROM jobsd.schedule_runs ORDER BY 1",
        due,
    )
    assert [(row["ms"], row["due_times"]) for row in rows] == [(0, 1), (1000, 2)]
