"""What a daemon reads when somebody has changed a schedule: that one, however many there are."""

from __future__ import annotations

import pytest

from jobsd.schedule.state import Change
from jobsd.scheduler.plans import Plans
from jobsd.scheduler.roster import Roster
from tests.scheduler.conftest import a_schedule


class Listening:
    """A store that notes which entries were read."""

    def __init__(self, store):
        self._store = store
        self.read = []

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def look(self, names=None):
        self.read.append(names)
        return await self._store.look(names)


@pytest.fixture
async def daemon(ground):
    """Three schedules as a daemon has planned them."""
    store, plans = Listening(ground.store), Plans()
    schedules = [a_schedule("0 2 * * *", name=name) for name in ("one", "two", "three")]
    roster = Roster(store, plans, schedules)
    await roster.beat()
    await roster.beat()
    store.read.clear()
    return store, plans, roster


async def paused(ground, name):
    entry = await ground.entry(name)
    state = entry.state._replace(paused_at=entry.state.cursor)
    assert await ground.store.apply([Change(name, entry.version, state, tell=True)]) == {name}


async def test_where_nothing_has_changed_nothing_is_read(daemon):
    store, _, roster = daemon
    await roster.beat()
    assert store.read == []


async def test_only_what_was_changed_is_read_again(ground, daemon):
    store, plans, roster = daemon
    await paused(ground, "two")
    await roster.beat()
    assert store.read == [["two"]]
    assert plans["two"].state.paused_at
    assert not plans["one"].state.paused_at
    await roster.beat()
    assert len(store.read) == 1


@pytest.mark.parametrize("ground", ["postgres"], indirect=True)
async def test_what_was_added_is_read_and_what_was_removed_is_planned_no_more(ground, daemon):
    store, plans, roster = daemon
    assert await ground.store.put(a_schedule("0 3 * * *", name="added", source="runtime"), version=None)
    await roster.beat()
    assert store.read == [["added"]]
    assert "added" in plans
    assert await ground.store.remove("added")
    await roster.beat()
    assert "added" not in plans
    assert not any(store.read[1:])
    assert set(plans.names()) == {"one", "two", "three"}


async def test_all_are_read_when_another_daemon_has_come(ground, daemon):
    store, _, roster = daemon
    await ground.store.beat("of another")
    await roster.beat()
    assert store.read == [None]


async def test_what_could_not_be_read_to_its_end_is_read_whole(ground, daemon, monkeypatch):
    store, plans, roster = daemon
    await paused(ground, "two")

    async def away(names=None):
        raise OSError("away")

    with monkeypatch.context() as broken:
        broken.setattr(store, "look", away)
        with pytest.raises(OSError, match="away"):
            await roster.beat()
    await roster.beat()
    assert store.read == [None]
    assert plans["two"].state.paused_at
