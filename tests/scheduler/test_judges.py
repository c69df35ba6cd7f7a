"""What a store lets be written, of what several daemons have decided at once, or one has twice, or too late."""

from __future__ import annotations

import pytest

from jobsd.schedule.state import Change, Fired, Passed, Past
from jobsd.schedule_jobs import job_of
from tests.scheduler.conftest import HOUR_MS, a_schedule
from tests.waiting import until

on_redis = pytest.mark.parametrize("ground", ["redis"], indirect=True)
on_postgres = pytest.mark.parametrize("ground", ["postgres"], indirect=True)
YEARLY = a_schedule("@yearly")


async def declared(ground, *others):
    """Return the entry of the schedule, declared by a daemon that declares others as well."""
    await ground.store.declare([YEARLY, *others], "f", at_start=True)
    return await ground.entry()


def fired(ground, due):
    return Fired(due, job_of(YEARLY, due, due, outbox=ground.pool is not None))


async def put(ground):
    """Return the ids of all jobs that were put where jobs begin."""
    if ground.pool is None:
        return await ground.jobs()
    return [row["job_id"] for row in await ground.pool.fetch("SELECT job_id FROM jobsd.outbox")]


# --- the version -------------------------------------------------------------------------------------------------


async def test_of_two_that_decided_about_the_same_the_second_writes_nothing(ground):
    entry = await declared(ground)
    due = entry.state.cursor
    first = Change("nightly", entry.version, entry.state._replace(runs=1), [fired(ground, due)])
    second = Change(
        "nightly",
        entry.version,
        entry.state._replace(runs=7),
        [fired(ground, due + 2000)],
        [Passed(due + 1000, due + 1000, 1, "overlap")],
    )
    assert await ground.store.apply([first]) == {"nightly"}
    assert await ground.store.apply([second]) == set()
    assert (await ground.entry()).state.runs == 1
    assert [line.due for line in await ground.store.history("nightly", 10)] == [due]
    assert await put(ground) == [first.fired[0].job.id]


async def test_what_was_decided_too_late_keeps_nothing_beside_it_from_being_written(ground):
    entry = await declared(ground, a_schedule("@yearly", name="other"))
    other = await ground.entry("other")
    late = Change("nightly", entry.version - 1, entry.state._replace(runs=7), [fired(ground, entry.state.cursor)])
    assert await ground.store.apply([late, Change("other", other.version, other.state._replace(runs=1))]) == {"other"}
    assert ((await ground.entry()).state.runs, (await ground.entry("other")).state.runs) == (0, 1)
    assert await put(ground) == []


@on_postgres
async def test_what_somebody_is_changing_in_this_moment_is_passed_over_and_not_waited_for(ground):
    entry = await declared(ground, a_schedule("@yearly", name="other"))
    other = await ground.entry("other")
    changes = [Change(one.schedule.name, one.version, one.state._replace(runs=1)) for one in (entry, other)]
    async with ground.pool.transaction() as another:
        await another.execute("SELECT FROM jobsd.schedules WHERE name = 'nightly' FOR UPDATE")
        assert await ground.store.apply(changes) == {"other"}
    assert await ground.store.apply(changes) == {"nightly"}


# --- what a due time has become ------------------------------------------------------------------------------------


@on_redis
@pytest.mark.parametrize("left", ["job", "result"])
async def test_a_job_that_is_there_or_has_left_its_result_is_not_stored_again(ground, left):
    entry = await declared(ground)
    once = fired(ground, entry.state.cursor)
    assert await ground.store.apply([Change("nightly", entry.version, entry.state, [once])])
    queue, key = "jobsd:{main}:default", f"arq:job:{once.job.id}"
    if left == "result":
        await ground.redis.rename(key, f"arq:result:{once.job.id}")
        await ground.redis.zrem(queue, once.job.id)
    else:
        await ground.redis.zadd(queue, {once.job.id: 2**52})  # somebody runs it
    assert await ground.store.apply([Change("nightly", entry.version + 1, entry.state, [once])])
    assert await ground.redis.zscore(queue, once.job.id) == (2**52 if left == "job" else None)
    assert await ground.redis.exists(key) == (left == "job")


@on_postgres
async def test_a_due_time_that_became_a_job_becomes_no_second_one(ground):
    entry = await declared(ground)
    once = fired(ground, entry.state.cursor)
    assert await ground.store.apply([Change("nightly", entry.version, entry.state, [once])])
    await ground.end(once.job.id)
    assert await ground.store.apply([Change("nightly", entry.version + 1, entry.state, [once])])
    assert await put(ground) == []


@on_postgres
async def test_what_has_become_a_job_stays_one_whatever_is_carried_to_it(ground):
    entry = await declared(ground)
    due = entry.state.cursor
    assert await ground.store.apply([Change("nightly", entry.version, entry.state, [fired(ground, due)])])
    before = await ground.store.history("nightly", 10)
    line = Past("nightly", due, "passed", "missed", 1, "", manual=False, decided_at=due)
    assert await ground.store.apply([Change("nightly", entry.version + 1, entry.state, carried=[line])])
    assert await ground.store.history("nightly", 10) == before
    assert [line.state for line in before] == ["fired"]


@on_postgres
async def test_what_was_passed_over_is_fired_by_no_later_decision(ground):
    entry = await declared(ground)
    due = entry.state.cursor
    passed = [Passed(due, due, 1, "overlap")]
    assert await ground.store.apply([Change("nightly", entry.version, entry.state, passed=passed)])
    assert await ground.store.apply([Change("nightly", entry.version + 1, entry.state, [fired(ground, due)])])
    assert [(line.state, line.reason) for line in await ground.store.history("nightly", 10)] == [("passed", "overlap")]
    assert await put(ground) == []


@on_postgres
async def test_a_due_time_that_waited_becomes_what_it_has_waited_for(ground):
    entry = await declared(ground)
    due = entry.state.cursor
    waiting = entry.state._replace(waiting=(due,))
    assert await ground.store.apply([Change("nightly", entry.version, waiting, waits=[due])])
    [line] = await ground.store.history("nightly", 10)
    assert (line.state, await put(ground)) == ("waiting", [])
    once = fired(ground, due)
    assert await ground.store.apply([Change("nightly", entry.version + 1, entry.state, [once])])
    [line] = await ground.store.history("nightly", 10)
    assert (line.state, line.job_id, await put(ground)) == ("fired", once.job.id, [once.job.id])


@on_redis
async def test_redis_keeps_the_latest_50_lines_of_a_history(ground):
    entry = await declared(ground)
    due = [entry.state.cursor + 1000 * number for number in range(60)]
    for version, half in enumerate((due[:30], due[30:]), entry.version):
        passed = [Passed(one, one, 1, "overlap") for one in half]
        assert await ground.store.apply([Change("nightly", version, entry.state, passed=passed)])
    assert [line.due for line in await ground.store.history("nightly", 1000)] == due[:9:-1]


# --- what is declared ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "moved"),
    [({"at": "@every 2h"}, "cursor anchor"), ({"end_ms": 2**45}, "cursor"), ({"description": "of late"}, "")],
    ids=["time", "end", "words"],
)
async def test_what_is_declared_otherwise_goes_on_from_now_only_where_its_time_is_another(ground, options, moved):
    await ground.store.declare([a_schedule("@every 1h")], "f", at_start=True)
    await ground.set_back(3 * HOUR_MS)
    entry = await ground.entry()
    before = entry.state._replace(runs=7, last_job="cron:nightly:before o0123456789a")
    assert await ground.store.apply([Change("nightly", entry.version, before)])
    declared_at = (await ground.store.look([])).now
    await ground.store.declare([a_schedule(**{"at": "@every 1h", **options})], "g", at_start=True)
    after = (await ground.entry()).state
    assert [name for name in ("cursor", "anchor") if getattr(after, name) >= declared_at] == moved.split()
    assert after._replace(cursor=before.cursor, anchor=before.anchor) == before
    assert moved or after == before


async def test_the_word_of_an_earlier_daemon_does_not_come_to_count_by_being_repeated(ground):
    earlier, later = a_schedule("@yearly", description="earlier"), a_schedule("@yearly", description="later")
    for daemon in (earlier, later):
        await ground.store.declare([daemon], daemon.description, at_start=True)
        await a_millisecond(ground)
    for _ in range(2):
        await ground.store.declare([earlier], "earlier", at_start=False)
        assert (await ground.entry()).schedule.description == "later"
    await ground.store.declare([earlier], "earlier", at_start=True)
    assert (await ground.entry()).schedule.description == "earlier"


async def test_of_two_daemons_that_started_in_the_same_moment_the_word_of_one_counts(ground):
    both = [a_schedule("@yearly", description=text) for text in ("a", "b")]
    for one in both:
        await ground.store.declare([one], one.description, at_start=True)
    if ground.pool is None:
        await ground.redis.zadd("jobsd:{main}::declaring", {"a": 1, "b": 1})
    else:
        await ground.pool.execute("UPDATE jobsd.schedule_declarations SET started_at = 'epoch'")
    told = []
    for one in (*both, *both):
        await ground.store.declare([one], one.description, at_start=False)
        told.append((await ground.entry()).schedule.description)
    assert told == ["b"] * 4


async def a_millisecond(ground):
    """Let the store's clock, by which daemons come one after the other, go on."""
    began = (await ground.store.look([])).now

    async def gone():
        return (await ground.store.look([])).now > began

    await until(gone)
