"""What is carried from Redis to Postgres, when that is back, and what is not."""

from __future__ import annotations

import asyncpg
import pytest

from jobsd.schedule.state import Change, Fired, Passed
from jobsd.schedule_jobs import job_of
from jobsd.scheduler.bridge import Bridge
from jobsd.scheduler.plans import Plans
from jobsd.store.spare_schedules import Spare, SpareSchedules
from tests.scheduler.conftest import HOUR_MS, a_schedule
from tests.waiting import until

pytestmark = pytest.mark.parametrize("ground", ["postgres"], indirect=True)
NAMES = ("nightly", "other")


@pytest.fixture
async def spares(ground):
    """Two schedules that Postgres has, and nothing in Redis yet."""
    await ground.store.declare([a_schedule("@yearly", name=name) for name in NAMES], "f", at_start=True)
    return SpareSchedules(ground.redis)


def meanwhile(entry, version, after_ms, **fields):
    """Return the change that passes over what was due so long after Postgres had seen it last."""
    due = entry.state.cursor + after_ms
    passed = [Passed(due, due, 1, "overlap")]
    return Change(entry.schedule.name, version, entry.state._replace(cursor=due, **fields), passed=passed)


async def left(ground, spares):
    """Return the version of each spare, and of whom there are lines."""
    found = await spares.look(NAMES)
    lines = await spares.lines(NAMES)
    return {name: spare.version for name, spare in found.items()}, [name for name in NAMES for _ in lines[name]]


async def test_what_postgres_has_come_further_with_does_not_go_back(ground, spares):
    entry = await ground.entry()
    assert await spares.apply([Change("nightly", 0, entry.state._replace(cursor=entry.state.cursor + 5000, runs=2))])
    further = entry.state._replace(cursor=entry.state.cursor + 9000, runs=5, last_job="cron:nightly:x o0123456789a")
    assert await ground.store.apply([Change("nightly", entry.version, further)])
    assert (await Bridge(spares).carry(ground.store))[0]
    assert (await ground.entry()).state == further
    assert not await spares.names()


async def test_what_waits_in_redis_and_was_fired_in_postgres_waits_and_counts_no_more(ground, spares):
    entry = await ground.entry()
    due = entry.state.cursor + 1000
    assert await spares.apply([Change("nightly", 0, entry.state._replace(cursor=due, waiting=(due, due + 1)))])
    once = Fired(due, job_of(entry.schedule, due, due, outbox=True))
    judged = entry.state._replace(cursor=due, runs=1)
    assert await ground.store.apply([Change("nightly", entry.version, judged, [once])])
    assert (await Bridge(spares).carry(ground.store))[0] == 1
    assert (await ground.entry()).state == judged._replace(waiting=(due + 1,))


async def test_what_redis_had_come_to_stays_also_if_the_schedule_was_defined_otherwise_before_it_is_carried(
    ground, spares
):
    entry = await ground.entry()
    had = {"waiting": (5, 7), "last_job": "a o1", "last_due": 4}
    assert await spares.apply([Change("nightly", 0, entry.state._replace(cursor=entry.state.cursor + 5000, **had))])
    now = entry.state.cursor + 60_000  # to which a change of its time sets the cursor
    kept = entry.state._replace(cursor=now, anchor=now, waiting=(3,))
    assert await ground.store.apply([Change("nightly", entry.version, kept)])
    assert (await Bridge(spares).carry(ground.store))[0] == 1
    state = (await ground.entry()).state
    assert state == kept._replace(**had | {"waiting": (3, 5, 7)})
    assert [line.state for line in await ground.store.history("nightly", 10)] == ["waiting"] * 2


async def test_what_has_run_is_told_as_that_and_counted_once_whatever_was_written_of_it(ground, spares):
    entry = await ground.entry()
    dues = [entry.state.cursor + 1000 * number for number in range(1, 4)]
    jobs = [job_of(entry.schedule, due, due, outbox=True) for due in dues]
    state = entry.state._replace(cursor=dues[-1], runs=3)
    fired = [Fired(due, job) for due, job in zip(dues, jobs, strict=True)]
    assert await spares.apply([Change("nightly", 0, state, fired=fired)])
    judged = entry.state._replace(cursor=dues[1], runs=1)
    passed = [Passed(dues[1], dues[1], 1, "overlap")]
    assert await ground.store.apply([Change("nightly", entry.version, judged, fired[:1], passed)])
    assert (await Bridge(spares).carry(ground.store))[0] == 1
    assert await ground.fired() == dues
    assert await ground.passed() == []
    assert (await ground.entry()).state.runs == 3
    assert len(await ground.pool.fetch("SELECT FROM jobsd.outbox")) == 1


async def test_it_goes_on_in_redis_from_wherever_it_has_come_furthest(ground, spares):
    entry, plans = await ground.entry(), Plans()
    plans.plan(entry, entry.schedule)
    bridge, planned = Bridge(spares), plans["nightly"]

    async def stands(plan):
        return (await bridge.stand({"nightly": plan}))["nightly"]

    assert await stands(planned) == Spare(0, entry.state)
    spare = entry.state._replace(cursor=entry.state.cursor + 5000, runs=2)
    assert await spares.apply([Change("nightly", 0, spare)])
    assert await stands(planned) == Spare(1, spare)
    further = entry.state._replace(cursor=entry.state.cursor + 9000, runs=5)
    assert await stands(planned._replace(state=further)) == Spare(1, further)


async def test_what_is_decided_while_it_is_carried_stays_and_is_carried_next(ground, spares, monkeypatch):
    entry, apply = await ground.entry(), ground.store.apply
    assert await spares.apply([meanwhile(entry, 0, 1000)])

    async def too_late(changes):
        monkeypatch.undo()
        assert await spares.apply([meanwhile(entry, 1, 2000)])
        return await apply(changes)

    monkeypatch.setattr(ground.store, "apply", too_late)
    assert (await Bridge(spares).carry(ground.store))[0]
    assert await left(ground, spares) == ({"nightly": 2}, ["nightly"])
    assert (await ground.entry()).state.cursor == entry.state.cursor + 1000
    assert (await Bridge(spares).carry(ground.store))[0]
    assert await left(ground, spares) == ({}, [])
    assert (await ground.entry()).state.cursor == entry.state.cursor + 2000
    assert len(await ground.store.history("nightly", 10)) == 2


async def test_what_others_are_changing_in_this_moment_is_carried_later(ground, spares):
    entry = await ground.entry()
    assert await spares.apply([meanwhile(entry, 0, 1000)])
    async with ground.pool.transaction() as another:
        await another.execute("SELECT FROM jobsd.schedules WHERE name = 'nightly' FOR UPDATE")
        assert not (await Bridge(spares).carry(ground.store))[0]
        assert await left(ground, spares) == ({"nightly": 1}, ["nightly"])
    assert (await Bridge(spares).carry(ground.store))[0]
    assert await left(ground, spares) == ({}, [])


async def test_what_only_a_later_version_can_read_stays_until_that_carries_it(ground, spares):
    for name in NAMES:
        assert await spares.apply([meanwhile(await ground.entry(name), 0, 1000)])
    written = await ground.pool.fetch("SELECT definition::text AS d FROM jobsd.schedules WHERE name = 'other'")
    await ground.pool.execute(
        'UPDATE jobsd.schedules SET definition = (definition::jsonb || \'{"missed": "newest"}\')::json '
        "WHERE name = 'other'"
    )
    assert (await Bridge(spares).carry(ground.store))[0]
    assert await left(ground, spares) == ({"other": 1}, ["other"])
    assert not (await Bridge(spares).carry(ground.store))[0]  # and it keeps nothing else waiting
    assert await left(ground, spares) == ({"other": 1}, ["other"])
    await ground.pool.execute("UPDATE jobsd.schedules SET definition = $1::text::json", written[0]["d"])
    assert (await Bridge(spares).carry(ground.store))[0]
    assert await left(ground, spares) == ({}, [])
    assert [line.due_times for line in await ground.store.history("other", 10)] == [1]


@pytest.mark.parametrize("newer", ["spare", "line"])
async def test_what_a_later_version_has_decided_keeps_no_other_waiting(ground, spares, caplog, newer):
    for name in NAMES:
        assert await spares.apply([meanwhile(await ground.entry(name), 0, 1000)])
    if newer == "spare":
        text = await ground.redis.hget("jobsd:{main}::spare", "other")
        await ground.redis.hset("jobsd:{main}::spare", "other", text.replace(b'"anchor":', b'"anchor":"since":'))
    else:
        await ground.redis.lpush("jobsd:{main}::spared:other", '{"name": "other", "until": 5}')
    bridge = Bridge(spares)
    assert await bridge.carry(ground.store) == (1, {"other"})
    assert await bridge.carry(ground.store) == (0, {"other"})  # which nobody here fires till it is carried
    assert [record.schedule for record in caplog.records if record.message == "schedule.refused"] == ["other"]
    assert await ground.redis.hkeys("jobsd:{main}::spare") == [b"other"]
    assert [line.due_times for line in await ground.store.history("nightly", 10)] == [1]


@pytest.mark.parametrize("many", [1, 2, 3, 4])
async def test_nothing_is_lost_however_many_lines_there_are_beside_a_lot(ground, spares, monkeypatch, many):
    monkeypatch.setattr("jobsd.store.spare_schedules.MOST_LINES", 2)
    entry = await ground.entry()
    for number in range(many):
        due = entry.state.cursor + 1000 * (number + 1)
        job = job_of(entry.schedule, due, due, outbox=True)
        state = entry.state._replace(cursor=due, runs=number + 1, waiting=(number,), last_job="a o1", last_due=due)
        assert await spares.apply([Change("nightly", number, state, fired=[Fired(due, job)])])
    while (await Bridge(spares).carry(ground.store))[0]:
        pass
    assert await left(ground, spares) == ({}, [])
    assert (await ground.entry()).state == state
    assert len(await ground.fired()) == many


async def test_an_expression_that_only_a_later_version_can_read_keeps_no_other_waiting(ground, spares):
    for name in NAMES:
        assert await spares.apply([meanwhile(await ground.entry(name), 0, 1000)])
    await ground.pool.execute(
        'UPDATE jobsd.schedules SET definition = (definition::jsonb || \'{"at": "@lunar"}\')::json, '
        "state = state || jsonb_build_object('cursor', (state->>'cursor')::bigint + 60000) WHERE name = 'other'"
    )
    assert (await Bridge(spares).carry(ground.store))[0] == 1
    assert await left(ground, spares) == ({"other": 1}, ["other"])


async def test_what_is_too_much_for_once_is_carried_next(ground, spares, monkeypatch):
    monkeypatch.setattr("jobsd.scheduler.bridge._AT_ONCE", 1)
    for name in NAMES:
        assert await spares.apply([meanwhile(await ground.entry(name), 0, 1000)])
    carried, still = await Bridge(spares).carry(ground.store)
    assert (carried, len(still)) == (1, 1)
    assert await Bridge(spares).carry(ground.store) == (1, set())
    assert await left(ground, spares) == ({}, [])


@pytest.mark.parametrize("hours", [23, 25])
async def test_what_postgres_has_not_is_kept_for_a_day_since_it_may_be_of_another_database(ground, spares, hours):
    entry = await ground.entry()
    state = entry.state._replace(cursor=entry.state.cursor - hours * HOUR_MS)
    assert await spares.apply([meanwhile(entry._replace(state=state), 0, 1000)])
    await ground.pool.execute("DELETE FROM jobsd.schedules WHERE name = 'nightly'")
    assert (await Bridge(spares).carry(ground.store))[0] == (hours > 24)
    assert await left(ground, spares) == (({}, []) if hours > 24 else ({"nightly": 1}, ["nightly"]))


async def test_what_is_due_is_carried_first(ground, spares, monkeypatch):
    monkeypatch.setattr("jobsd.scheduler.bridge._AT_ONCE", 1)
    for due in (*NAMES, *NAMES):
        for version, name in enumerate(NAMES):
            await spares.apply([meanwhile(await ground.entry(name), 0, 1000 + version)])
        _, still = await Bridge(spares).carry(ground.store, [due])
        assert due not in still


async def test_that_schedules_go_on_in_redis_is_said_once(ground, caplog):
    async with ground.scheduler(a_schedule(overlap="allow")):
        await until(ground.fired)
        ground.judge.away = True
        before = len(await ground.jobs())

        async def more():
            return len(await ground.jobs()) > before + 1

        await until(more)
        ground.judge.away = False
        done = len(await ground.fired())

        async def fired():
            return len(await ground.fired()) > done + 2

        await until(fired)
    said = [record.consequence for record in caplog.records if record.message == "schedules.bridged"]
    assert len(said) == 1
    assert said[0].startswith("schedules go on in Redis")


async def test_all_that_is_due_goes_on_in_redis_at_once_however_much_it_is(ground, monkeypatch):
    monkeypatch.setattr("jobsd.scheduler.scheduler._MOST", 2)
    names = [f"one-of-{number}" for number in range(7)]
    async with ground.scheduler(*(a_schedule("@every 2s", name=name, overlap="allow") for name in names)) as scheduler:
        await until(lambda: len(scheduler.plans) == len(names))
        ground.judge.away = True
        applied, apply = [], SpareSchedules.apply

        async def noted(spares, changes):
            applied.append((scheduler.failures, len(changes)))
            return await apply(spares, changes)

        monkeypatch.setattr(SpareSchedules, "apply", noted)

        def in_one_tick():
            ticks = [tick for tick, many in applied if many]
            return any(ticks.count(tick) >= 4 for tick in ticks)

        await until(in_one_tick)


@pytest.mark.parametrize("error", [asyncpg.DiskFullError, asyncpg.InsufficientPrivilegeError], ids=str)
async def test_schedules_go_on_where_postgres_answers_and_does_not_do_it(ground, monkeypatch, error):
    async with ground.scheduler(a_schedule(overlap="allow")):
        await until(ground.fired)
        before = len(await ground.jobs())

        async def refused(*_):
            raise error("no")

        monkeypatch.setattr(ground.judge, "fetch", refused)

        async def more():
            return len(await ground.jobs()) > before + 1

        await until(more)
        monkeypatch.undo()
        done = len(await ground.fired())

        async def fired():
            return len(await ground.fired()) > done + 1

        await until(fired)
    fired = await ground.fired()
    assert fired == list(range(fired[0], fired[-1] + 1, 1000))
