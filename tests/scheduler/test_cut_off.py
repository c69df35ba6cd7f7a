"""One daemon is cut off from Postgres and others are not: they go on with schedules, and it takes none of them over."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from jobsd.records.schedules import PostgresSchedules
from jobsd.store.spare_schedules import SpareSchedules
from tests.scheduler.conftest import a_schedule
from tests.waiting import until

pytestmark = pytest.mark.parametrize("ground", ["postgres"], indirect=True)
JUDGES = "jobsd:{main}::judges"


@asynccontextmanager
async def two_daemons(ground, schedule, *, of_the_other=None):
    """Run two, and cut the second off from Postgres when both have planned the schedule."""
    well = ground._replace(store=PostgresSchedules(ground.pool))
    declared = [schedule if of_the_other is None else of_the_other] if schedule.source != "runtime" else []
    async with (
        well.scheduler(*declared) as first,
        ground.scheduler(*declared if of_the_other is None else [schedule]) as cut,
    ):
        await until(lambda: schedule.name in cut.plans and len(first.plans))
        ground.judge.away = True
        yield SimpleNamespace(first=first, cut=cut)
        ground.judge.away = False


async def more_due_times(ground, many):
    """Wait until so many more due times are decided in Postgres."""
    before = (await well_state(ground)).cursor

    async def decided():
        return (await well_state(ground)).cursor >= before + many * 1000

    await until(decided)


async def well_state(ground):
    return (await PostgresSchedules(ground.pool).look(["nightly"])).entries["nightly"].state


@pytest.mark.parametrize("source", ["code", "runtime"])
async def test_who_alone_is_cut_off_from_postgres_fires_nothing_that_others_fire(ground, monkeypatch, source):
    decided, apply = [], SpareSchedules.apply

    async def noted(spares, changes):
        decided.extend(changes)
        return await apply(spares, changes)

    monkeypatch.setattr(SpareSchedules, "apply", noted)
    schedule = a_schedule(overlap="allow", source=source)
    if source == "runtime":
        assert await PostgresSchedules(ground.pool).put(schedule, version=None)
    async with two_daemons(ground, schedule) as daemons:
        await until(lambda: daemons.cut.failures)
        await more_due_times(ground, 4)  # which is two seconds longer than it waits for Postgres
        assert daemons.cut.failures
        assert decided == []
        assert len(await ground.redis.zrange(JUDGES, 0, -1)) == 1


async def test_who_is_cut_off_goes_on_when_nobody_else_reaches_postgres(ground):
    async with two_daemons(ground, a_schedule(overlap="allow")) as daemons:
        await until(lambda: daemons.cut.failures)
        daemons.first.stop()
        await ground.redis.delete(JUDGES)  # as it is seven seconds later

        async def went_on():
            return await SpareSchedules(ground.redis).names() == {"nightly"}

        await until(went_on)


async def test_who_is_cut_off_goes_on_with_what_nobody_else_declares(ground):
    other = a_schedule(name="of-the-other", overlap="allow")
    async with two_daemons(ground, a_schedule(overlap="allow"), of_the_other=other):

        async def went_on():
            return await SpareSchedules(ground.redis).names() == {"nightly"}

        await until(went_on)
