"""Schedules of run time: added, changed and removed by code, kept in Postgres."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.admin.opening import open_schedules
from jobsd.clock import now_ms, utc_from_ms
from jobsd.definition import Task
from jobsd.errors import (
    InvalidArgumentsError,
    InvalidOptionError,
    NotConfiguredError,
    ScheduleDefinitionError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    ScheduleOwnedError,
)
from tests.admin.bureau import FAR, Bureau, a_bureau, a_schedule, tidy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SOON = datetime(2098, 1, 1, tzinfo=UTC)
TIDY = Task(tidy, "tidy", queue="low")


@pytest.fixture
async def bureau(redis_url, redis, ledger_url) -> AsyncIterator[Bureau]:
    async with a_bureau(redis_url, redis, ledger_url) as made:
        yield made


async def test_an_entry_is_kept_as_it_was_said_and_is_gone_when_it_is_removed(bureau):
    added = await bureau.schedules.add(
        "nightly", task="tidy", at="0 3 * * *", args={"n": 2}, retries=1, timeout="5m", missed="all", jitter="1s"
    )
    assert added == "nightly"
    kept = (await bureau.entry()).schedule
    assert (kept.task, kept.at, kept.kwargs, kept.retries) == ("tidy", "0 3 * * *", {"n": 2}, 1)
    assert (kept.timeout_ms, kept.missed, kept.jitter_ms, kept.source) == (300_000, "all", 1000, "runtime")
    assert (await bureau.schedules.get("nightly")).state == "active"
    assert await bureau.schedules.remove("nightly")
    assert not await bureau.schedules.remove("nightly")
    assert await bureau.schedules.list() == []


async def test_without_a_name_each_is_given_its_own_out_of_its_task(bureau):
    names = [await bureau.schedules.every("backup:database", timedelta(days=1)) for _ in range(2)]
    assert len(set(names)) == 2
    for name in names:
        head, _, tail = name.rpartition("-")
        assert (head, len(tail)) == ("backup:database", 8)
        view = await bureau.schedules.get(name)
        assert (view.task, view.words) == ("backup:database", "every 1d")
    assert [await bureau.schedules.remove(name) for name in names] == [True, True]
    odd = await bureau.schedules.every("shop.<locals>." + "x" * 100, "1h")
    assert odd.startswith("shop.-locals-.xxx")
    assert len(odd) == 80


async def test_a_task_at_hand_gives_its_queue_and_checks_its_arguments(bureau):
    name = await bureau.schedules.add(task=TIDY, at=FAR, args=[3])
    kept = (await bureau.entry(name)).schedule
    assert (kept.task, kept.queue, kept.args) == ("tidy", "low", (3,))
    with pytest.raises(InvalidArgumentsError, match="arguments of 'tidy' do not fit its signature"):
        await bureau.schedules.add("wrong", task=TIDY, at=FAR, args={"n": "many"})
    with pytest.raises(InvalidArgumentsError, match="arguments of 'tidy' do not fit its signature"):
        await bureau.schedules.every(TIDY, "1h", args={"m": 1})
    assert [view.name for view in await bureau.schedules.list()] == [name]


async def test_everything_that_is_wrong_is_said_at_once(bureau):
    with pytest.raises(ScheduleDefinitionError) as refused:
        await bureau.schedules.add("no name", task="tidy", at="0 99 * * *", retires=2)
    told = str(refused.value)
    assert "'no name' is no name for a schedule" in told
    assert "retires: unknown option; did you mean 'retries'?" in told
    assert "hour '99' is over 23" in told


async def test_holidays_are_refused_since_no_daemon_would_know_them(bureau):
    with pytest.raises(
        ScheduleDefinitionError, match="'nightly': holidays: a run-time schedule has none, since a store"
    ):
        await bureau.schedules.add("nightly", task="tidy", at=FAR, holidays="shop.days:is_holiday")


@pytest.mark.parametrize("options", [{"args": {"n": ["\0"]}}, {"args": [{"\0": 1}]}, {"description": "a\0"}], ids=str)
async def test_what_postgres_cannot_keep_is_refused(bureau, options):
    with pytest.raises(
        ScheduleDefinitionError, match=r"(args: they hold a zero character|description: .*none of them zero)"
    ):
        await bureau.schedules.add("nightly", task="other", at=FAR, **options)
    await bureau.schedules.add("nightly", task="other", at=FAR, args=["\\u0000", "é\u2028"])
    assert (await bureau.entry()).schedule.args == ("\\u0000", "é\u2028")


async def test_an_update_changes_what_it_names_and_keeps_the_past(bureau):
    end = datetime(2099, 1, 1, tzinfo=UTC)
    said: dict[str, Any] = {
        "task": "tidy", "at": FAR, "zone": "Asia/Jakarta", "args": [1, "a"], "queue": "low", "timeout": "5m",
        "retries": 2, "retry_delay": "10s", "missed": "all", "missed_limit": 7, "missed_window": "2h",
        "overlap": "queue", "jitter": "3s", "start": datetime(2020, 1, 1, tzinfo=UTC), "end": end,
        "max_runs": 9, "enabled": False, "description": "tidies up",
    }  # fmt: skip
    await bureau.schedules.add("nightly", **said)
    before = (await bureau.entry()).schedule
    await bureau.schedules.pause("nightly", by="ana")
    await bureau.schedules.update("nightly", retries=5)
    after = await bureau.entry()
    assert after.schedule.to_wire() == before.to_wire() | {"retries": 5}
    assert after.state.paused_by == "ana"
    await bureau.schedules.update("nightly", every="30m", args={"n": 1}, end=None)
    changed = (await bureau.entry()).schedule
    assert (changed.at, changed.args, changed.kwargs, changed.end_ms) == ("@every 30m", (), {"n": 1}, None)
    assert changed.zone == "Asia/Jakarta"
    await bureau.schedules.update("nightly", at="0 1 * * *")
    assert (await bureau.schedules.get("nightly")).words == "at 01:00 every day, Asia/Jakarta"


async def test_a_wrong_update_changes_nothing(bureau):
    await bureau.schedules.add("nightly", task="tidy", at=FAR)
    with pytest.raises(ScheduleDefinitionError, match=r"overlap: 'no' is not one of .allow., .skip., .queue."):
        await bureau.schedules.update("nightly", overlap="no", at="0 1 * * *")
    with pytest.raises(ScheduleNotFoundError, match="no schedule 'nightl'; did you mean 'nightly'"):
        await bureau.schedules.update("nightl", at="0 1 * * *")
    with pytest.raises(InvalidOptionError) as refused:
        await bureau.schedules.update("nightly", name="daily", at="0 1 * * *")
    assert str(refused.value) == (
        "option 'name' is 'daily'; allowed is a change of what is not its name: task, at, every, zone, seconds, args, "
        "queue, timeout, retries, retry_delay, missed, missed_limit, missed_window, overlap, jitter, start, end, "
        "max_runs, enabled, description"
    )
    assert (await bureau.entry()).schedule.at == FAR


async def test_a_name_that_is_declared_or_taken_is_refused(bureau):
    await bureau.declare(a_schedule())
    with pytest.raises(ScheduleExistsError) as refused:
        await bureau.schedules.add("nightly", task="tidy", every="1h")
    assert str(refused.value) == "there is a schedule 'nightly' already, declared in the settings"
    await bureau.schedules.add("hourly", task="tidy", every="1h")
    with pytest.raises(ScheduleExistsError, match="'hourly' already; change it by update, or choose another name"):
        await bureau.schedules.add("hourly", task="tidy", every="2h")
    assert (await bureau.schedules.get("hourly")).words == "every 1h"


async def test_with_replace_it_is_added_or_takes_the_place_of_the_one_before_with_its_past(bureau):
    said: dict[str, Any] = {"task": "tidy", "every": "1h", "args": {"b": [1], "a": 2.0}, "start": SOON}
    assert await bureau.schedules.add("hourly", replace=True, **said) == "hourly"
    await bureau.schedules.pause("hourly", by="ana")
    await bureau.schedules.trigger("hourly", wait=None)
    before = await bureau.entry("hourly")
    await bureau.schedules.add("hourly", replace=True, **said | {"args": {"a": 2.0, "b": (1,)}})
    assert await bureau.entry("hourly") == before  # the same changes nothing
    await bureau.schedules.add("hourly", replace=True, **said | {"retries": 2})
    same_times = await bureau.entry("hourly")
    assert (same_times.schedule.retries, same_times.state) == (2, before.state)
    await bureau.schedules.every("tidy", "2h", name="hourly", replace=True)
    after = await bureau.entry("hourly")
    assert (after.schedule.at, after.schedule.retries, after.state.paused_by) == ("@every 2h", None, "ana")
    assert after.state.cursor > before.state.cursor
    assert after.state.last_job == before.state.last_job


async def test_replace_takes_the_place_of_nothing_that_is_declared_and_needs_a_name(bureau):
    await bureau.declare(a_schedule())
    with pytest.raises(ScheduleExistsError, match="'nightly' already, declared in the settings"):
        await bureau.schedules.add("nightly", task="tidy", every="1h", replace=True)
    with pytest.raises(InvalidOptionError, match="option 'replace' is True; allowed is False where no name is given"):
        await bureau.schedules.add(task="tidy", every="1h", replace=True)
    assert [view.task for view in await bureau.schedules.list()] == ["tidy"]


async def test_of_services_that_replace_it_at_once_all_succeed(bureau):
    added = [bureau.schedules.add("hourly", task="tidy", every=f"{n}h", replace=True) for n in range(1, 6)]
    assert await asyncio.gather(*added) == ["hourly"] * 5
    assert len(await bureau.schedules.list()) == 1


async def test_what_is_removed_while_it_is_replaced_is_added(bureau, monkeypatch):
    await bureau.schedules.add("hourly", task="tidy", every="1h")
    put = bureau.schedules._store.put

    async def after_a_removal(schedule, *, version):
        if version is not None:
            await bureau.schedules.remove("hourly")
        return await put(schedule, version=version)

    monkeypatch.setattr(bureau.schedules._store, "put", after_a_removal)
    await bureau.schedules.add("hourly", task="tidy", every="2h", replace=True)
    assert (await bureau.schedules.get("hourly")).words == "every 2h"


async def test_the_history_of_a_removed_schedule_is_told_in_utc(bureau):
    await bureau.schedules.add("nightly", task="tidy", at=FAR, zone="Asia/Jakarta")
    await bureau.schedules.trigger("nightly", wait=None)
    assert [line.zone for line in await bureau.schedules.history("nightly")] == ["Asia/Jakarta"]
    await bureau.schedules.remove("nightly")
    assert [line.zone for line in await bureau.schedules.history("nightly")] == ["UTC"]


async def test_what_was_declared_while_an_update_was_under_way_is_not_overwritten(bureau, monkeypatch):
    await bureau.schedules.add("nightly", task="tidy", at=FAR)
    put = bureau.schedules._store.put

    async def after_a_start(schedule, *, version):
        await bureau.declare(a_schedule())
        return await put(schedule, version=version)

    monkeypatch.setattr(bureau.schedules._store, "put", after_a_start)
    with pytest.raises(ScheduleOwnedError, match="'nightly' is declared in the settings"):
        await bureau.schedules.update("nightly", at="0 1 * * *")


async def test_what_is_of_run_time_says_that_no_daemon_is_alive_and_may_be_removed_then(bureau):
    await bureau.schedules.add("nightly", task="tidy", at=FAR)
    view = await bureau.schedules.get("nightly")
    assert (view.state, view.why) == ("active", "no daemon is alive")
    await bureau.schedules.expect(["nightly"], removable=True)
    assert await bureau.schedules.remove("nightly")


async def test_once_is_due_at_a_second_that_is_yet_to_come(bureau):
    soon = utc_from_ms(now_ms()) + timedelta(hours=1)
    by_time = await bureau.schedules.get(await bureau.schedules.once("tidy", at=soon, args={"n": 4}))
    assert timedelta(0) <= by_time.next_at - soon < timedelta(seconds=1)
    assert by_time.next_at.microsecond == 0
    by_delay = await bureau.schedules.get(await bureau.schedules.once("tidy", delay="1h", name="later"))
    assert abs(by_delay.next_at - soon) < timedelta(seconds=30)
    assert by_delay.name == "later"
    assert (await bureau.schedules.get(await bureau.schedules.once("tidy", delay="0s"))).previous_at is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "option 'at' is None; allowed is one of at and delay, and not both"),
        (
            {"at": datetime(2020, 1, 1, tzinfo=UTC)},
            "'2020-01-01T00:00:00+00:00'; allowed is a datetime with a zone, in",
        ),
        (
            {"at": datetime(2099, 1, 1)},  # noqa: DTZ001
            "option 'at' is datetime.datetime(2099, 1, 1, 0, 0); allowed is a datetime with",
        ),
        ({"at": "tomorrow"}, "option 'at' is 'tomorrow'; allowed is a datetime with a zone, in the future"),
        ({"delay": "soon"}, "option 'delay' is 'soon'; allowed is a duration"),
    ],
    ids=str,
)
async def test_once_refuses_what_is_no_time_to_come(bureau, given, told):
    with pytest.raises(InvalidOptionError) as refused:
        await bureau.schedules.once("tidy", **given)
    assert told in str(refused.value)


async def test_once_begins_again_when_its_time_was_over_before_it_was_stored(bureau, monkeypatch):
    put, late = bureau.schedules._store.put, []

    async def slow(schedule, *, version):
        stored = await put(schedule, version=version)
        if not late:  # as if it had come when its time was over
            late.append(schedule.name)
            entry = await bureau.entry(schedule.name)
            wire = f'{{"cursor": {entry.state.cursor + 3_600_000}, "anchor": 1}}'
            await bureau.store._pool.execute("UPDATE jobsd.schedules SET state = $1", wire)
        return stored

    monkeypatch.setattr(bureau.schedules._store, "put", slow)
    await bureau.schedules.once("tidy", delay="1s", name="soon")
    [view] = await bureau.schedules.list()
    assert (view.name, late) == ("soon", ["soon"])
    assert (await bureau.entry("soon")).state.cursor < now_ms() + 60_000


async def test_without_postgres_there_is_no_place_for_them(redis_url):
    told = "no address for Postgres: run-time schedules are kept there; set JOBSD_DATABASE_URL"
    async with open_schedules(redis_url, None) as schedules:
        for act in (
            schedules.add("nightly", task="tidy", at=FAR),
            schedules.every("tidy", "1h"),
            schedules.once("tidy", delay="1h"),
            schedules.remove("nightly"),
        ):
            with pytest.raises(NotConfiguredError) as refused:
                await act
            assert str(refused.value) == told


async def test_of_two_updates_at_the_same_moment_none_is_lost(bureau):
    await bureau.schedules.add("hourly", task="tidy", every="1h")
    await asyncio.gather(
        bureau.schedules.update("hourly", every="2h"), bureau.schedules.update("hourly", args={"all": True})
    )
    schedule = (await bureau.entry("hourly")).schedule
    assert (schedule.at, schedule.kwargs) == ("@every 2h", {"all": True})
