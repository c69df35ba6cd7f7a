"""An entry that this version cannot read, or cannot fire, keeps no other from its turn."""

from __future__ import annotations

import pytest
from pydantic_core import to_json

from jobsd.events import Event
from tests.scheduler.conftest import a_schedule
from tests.waiting import until

on_postgres = pytest.mark.parametrize("ground", ["postgres"], indirect=True)
FINE = {"task": "reports:nightly", "at": "@every 1s", "zone": "UTC"}
UNREADABLE = {
    "empty": {},
    "missed": {**FINE, "missed": "newest"},
    "jitter": {**FINE, "jitter_ms": "5"},
    "queue": {**FINE, "queue": "a b"},
    "args": {**FINE, "args": 5},
    "text": "nightly",
    "at": {**FINE, "at": "@fortnightly"},
    "zone": {**FINE, "zone": "Mars/Olympus"},
    "negative": {**FINE, "jitter_ms": -1},
}


async def write(ground, name, definition):
    """Write an entry as another version of jobsd may have, due a moment ago."""
    now = (await ground.store.look([])).now
    state = {"cursor": now - 3000, "anchor": now - 3000}
    if ground.pool is None:
        lines = b"\n".join([b"1", b"f", b"config", b"", to_json(definition), to_json(state)])
        await ground.redis.hset("jobsd:{main}::schedules", name, lines)
    else:
        await ground.pool.execute(
            "INSERT INTO jobsd.schedules (name, source, definition, state) "
            "VALUES ($1, 'runtime', $2::text::jsonb, $3::text::jsonb)",
            name,
            to_json(definition).decode(),
            to_json(state).decode(),
        )


def refused(caplog):
    return sorted(record.__dict__["schedule"] for record in caplog.records if record.message == Event.SCHEDULE_REFUSED)


async def goes_on(ground):
    """Wait until it has fired again."""
    before = len(await ground.fired())

    async def more():
        return len(await ground.fired()) > before

    await until(more)


@on_postgres
async def test_entries_that_cannot_be_read_are_refused_once_and_the_others_go_on(ground, caplog):
    for name, definition in UNREADABLE.items():
        await write(ground, name, definition)
    async with ground.scheduler(a_schedule(overlap="allow")) as scheduler:
        await until(ground.fired)
        assert sorted(set(refused(caplog))) == sorted(UNREADABLE)
        assert await ground.store.put(a_schedule("@yearly", name="news", source="runtime"), version=None)
        scheduler.heard()
        await until(lambda: "news" in scheduler.plans)
        await goes_on(ground)
        assert scheduler.failures == 0
    told = refused(caplog)
    assert sorted(set(told)) == sorted(UNREADABLE)
    assert {name for name in told if told.count(name) > 1} == set()  # read, but cannot be fired
    assert [job for job in await ground.jobs() if ":nightly:" not in job] == []


@on_postgres
@pytest.mark.parametrize(
    "state",
    [
        {},
        {"cursor": "0", "anchor": 0},
        {"cursor": 0, "anchor": 0, "runs": "7"},
        {"cursor": 0, "anchor": 0, "last_job": 5},
        {"cursor": "0", "anchor": 0, "waiting": [1], "paused_at": 5},
    ],
    ids=["empty", "cursor", "runs", "last_job", "paused"],
)
async def test_an_entry_whose_state_cannot_be_read_keeps_no_other_from_firing(ground, caplog, state):
    await write(ground, "bad", {**FINE, "overlap": "skip"})
    await ground.pool.execute(
        "UPDATE jobsd.schedules SET state = $1::text::jsonb WHERE name = 'bad'", to_json(state).decode()
    )
    async with ground.scheduler(a_schedule(overlap="skip")) as scheduler:
        await until(ground.fired, 2.5)
        assert scheduler.failures == 0
    assert set(refused(caplog)) == {"bad"}


async def test_an_entry_that_becomes_unreadable_while_it_is_planned_is_dropped(ground, caplog):
    async with ground.scheduler(a_schedule(overlap="allow"), a_schedule(name="other")) as scheduler:
        await until(lambda: "other" in scheduler.plans)
        if ground.pool is None:
            await write(ground, "other", UNREADABLE["missed"])
            await ground.redis.hincrby("jobsd:{main}::state", "schedules", 1)
        else:
            await ground.pool.execute(
                'UPDATE jobsd.schedules SET definition = definition::jsonb || \'{"missed": "newest"}\'::jsonb, '
                "changed = nextval('jobsd.schedules_changed') WHERE name = 'other'"
            )
        await until(lambda: "other" not in scheduler.plans)
        scheduler.heard()
        await until(lambda: refused(caplog))
        await goes_on(ground)
        assert scheduler.failures == 0
    assert refused(caplog) == ["other"]


@on_postgres
async def test_an_entry_that_makes_no_job_keeps_no_other_from_firing_while_postgres_is_away(ground, monkeypatch):
    monkeypatch.setattr("jobsd.scheduler.scheduler._PATIENCE_MS", 100)
    bad = a_schedule("* * * * *", name="bad", overlap="allow", jitter_ms=-1)
    async with ground.scheduler(a_schedule(overlap="allow"), bad) as scheduler:
        await until(lambda: "bad" in scheduler.plans)
        ground.judge.away = True
        now = (await ground.redis.time())[0] * 1000
        scheduler.plans.note("bad", scheduler.plans["bad"].state._replace(cursor=now - 61_000), now - 1000)
        before = set(await ground.jobs())

        async def more():
            return set(await ground.jobs()) - before

        await until(more, 2.5)
        ground.judge.away = False
