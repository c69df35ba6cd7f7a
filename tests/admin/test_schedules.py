"""Schedules asked and steered, where Redis keeps them and where Postgres does."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import pytest

from jobsd import SkipRetry
from jobsd.clock import now_ms, utc_from_ms
from jobsd.errors import (
    InvalidOptionError,
    ScheduleBusyError,
    ScheduleError,
    ScheduleNotFoundError,
    ScheduleOwnedError,
    UnreachableError,
)
from jobsd.store.keys import LANED, NO_CHILD, PARKED
from tests.admin.bureau import a_bureau, a_schedule, tidy
from tests.engine.hall import BASE
from tests.waiting import until


async def test_a_pause_is_shown_with_who_and_since_when_and_ends_with_resume(bureau):
    await bureau.declare(a_schedule())
    assert await bureau.schedules.pause("nightly", by="ana")
    assert not await bureau.schedules.pause("nightly", by="ben")
    paused = await bureau.schedules.get("nightly")
    assert (paused.state, paused.paused_by, paused.next_at) == ("paused", "ana", None)
    assert paused.why == f"it is paused by ana since {paused.paused_at:%Y-%m-%d %H:%M:%S}+00:00"
    assert await bureau.schedules.resume("nightly")
    assert not await bureau.schedules.resume("nightly")
    [resumed] = await bureau.schedules.list()
    assert (resumed.state, resumed.paused_at, resumed.paused_by) == ("active", None, "")
    assert resumed.why == "no daemon is alive"
    assert resumed.next_at is not None
    assert (await bureau.entry()).state.resumed_at is not None


async def test_two_pauses_between_which_nobody_has_decided_are_one(bureau):
    await bureau.declare(a_schedule(at="@every 1m", missed="all"))
    await bureau.schedules.pause("nightly")
    first = (await bureau.entry()).state.paused_at
    for again in (True, False):
        assert await bureau.schedules.resume("nightly")
        assert not again or await bureau.schedules.pause("nightly")
    state = (await bureau.entry()).state
    assert (state.paused_from, state.paused_at) == (first, None)
    assert state.resumed_at >= first


async def test_daemons_are_told_of_a_pause_and_not_of_a_trigger(bureau):
    await bureau.declare(a_schedule(overlap="allow"))
    told = (await bureau.store.beat("test")).entries
    await bureau.schedules.trigger("nightly", wait=None)
    assert (await bureau.store.beat("test")).entries == told
    await bureau.schedules.pause("nightly")
    assert (await bureau.store.beat("test")).entries != told


async def test_of_many_who_pause_at_once_one_does(bureau):
    await bureau.declare(a_schedule())
    paused = await asyncio.gather(*(bureau.schedules.pause("nightly", by=str(n)) for n in range(5)))
    assert sorted(paused) == [False] * 4 + [True]


async def test_a_trigger_waits_for_the_outcome_and_counts_as_no_run(bureau):
    bureau.work()
    await bureau.declare(a_schedule(kwargs={"n": 3}))
    done = await bureau.schedules.trigger("nightly")
    assert (done.state, done.message, done.result["data"]) == ("succeeded", "tidied 3", {"n": 3})
    assert re.fullmatch(r"cron:nightly:20[0-9-]+T[0-9:.]+Z:[a-z0-9]{6}", done.job_id)

    async def known() -> bool:
        view = await bureau.schedules.get("nightly")
        return view.last.outcome == "succeeded" and not view.last.live

    await until(known)
    view = await bureau.schedules.get("nightly")
    assert (view.runs, view.last.job_id) == (0, done.job_id)
    assert view.last.due_at <= view.last.ended_at <= utc_from_ms(now_ms() + 1000)
    [line] = await bureau.schedules.history("nightly")
    assert (line.state, line.manual, line.job_id, line.outcome, line.attempts) == (
        "fired", True, done.job_id, "succeeded", 1,
    )  # fmt: skip
    assert timedelta(0) <= line.lateness < timedelta(seconds=10)
    assert line.due_at == view.last.due_at


async def test_a_triggered_job_that_fails_says_why(bureau):
    async def tidy(ctx) -> None:
        raise SkipRetry("the disk is full")

    bureau.work(tidy)
    await bureau.declare(a_schedule())
    done = await bureau.schedules.trigger("nightly")
    assert (done.state, done.result) == ("failed", None)
    assert "the disk is full" in done.message

    async def known() -> bool:
        [line] = await bureau.schedules.history()
        return line.outcome is not None and "the disk is full" in (line.message or "")

    await until(known)
    last = (await bureau.schedules.get("nightly")).last
    assert last.outcome not in {None, "succeeded"}
    assert last.due_at <= last.ended_at


async def test_a_last_job_that_is_parked_is_shown_with_the_reason(bureau):
    bureau.work()
    await bureau.declare(a_schedule(task="tydi"), a_schedule("other"))
    job_id = (await bureau.schedules.trigger("nightly", wait=None)).job_id

    async def parked() -> bool:
        return bool((await bureau.schedules.get("nightly")).last.parked)

    await until(parked)
    nightly, other = await bureau.schedules.list()
    assert nightly.last.parked == "no daemon knows task 'tydi'"
    assert nightly.why == f"job {job_id} is parked: no daemon knows task 'tydi'; due times meanwhile are passed over"
    assert (other.last, other.why) == (None, "")


async def test_a_last_job_that_waits_for_a_child_process_says_so(bureau):
    await bureau.declare(a_schedule())
    job_id = (await bureau.schedules.trigger("nightly", wait=None)).job_id

    async def there() -> bool:
        return await bureau.hall.redis.zscore(BASE, job_id) is not None

    await until(there)
    await bureau.hall.redis.zadd(BASE, {job_id: LANED})  # it waits for its turn
    assert (await bureau.schedules.get("nightly")).last.parked == ""
    await bureau.hall.redis.zadd(BASE, {job_id: PARKED})
    await bureau.hall.redis.zadd(f"{BASE}:parked:{NO_CHILD}", {job_id: 1})
    assert (await bureau.schedules.get("nightly")).last.parked == "no child process is free"


async def test_a_last_job_in_a_queue_that_no_daemon_serves_says_so(bureau):
    bureau.work()
    await bureau.declare(a_schedule(queue="other"))

    async def serves_default_alone() -> bool:
        return (await bureau.schedules.get("nightly")).why == (
            "no daemon serves queue 'other', in which its jobs would wait"
        )

    await until(serves_default_alone)
    triggered = await bureau.schedules.trigger("nightly", wait="20ms")
    assert (triggered.state, triggered.message.endswith("; no daemon serves queue 'other'")) == ("accepted", True)
    view = await bureau.schedules.get("nightly")
    assert view.last.stranded
    assert view.why == (
        f"job {triggered.job_id} waits in queue 'other', which no daemon serves; due times meanwhile are passed over"
    )


async def test_a_daemon_that_was_not_heard_of_for_its_lease_serves_nothing(bureau):
    worker = bureau.hall.open(tidy, records=bureau.ledger)
    bureau.hall.open(tidy, queues={"other": 1}, records=bureau.ledger)
    await bureau.declare(a_schedule())

    async def are_heard_of() -> bool:
        return await bureau.hall.client.following().looks.served() == {"default", "other"}

    await until(are_heard_of)
    assert (await bureau.schedules.get("nightly")).why == ""
    await bureau.hall.redis.hset(f"jobsd:{{main}}::worker:{worker.id}", "lease", 0)  # as if that were over
    assert (await bureau.schedules.get("nightly")).why == (
        "no daemon serves queue 'default', in which its jobs would wait"
    )


async def test_what_was_declared_is_not_removed_while_no_daemon_is_alive_to_say_whether_it_still_is(bureau):
    await bureau.declare(a_schedule(source="code"))
    await bureau.nobody_declares()
    view = await bureau.schedules.get("nightly")
    assert (view.state, view.why) == ("undeclared", "no daemon is alive")
    for ask in (bureau.schedules.remove("nightly"), bureau.schedules.expect(["nightly"], removable=True)):
        with pytest.raises(ScheduleError) as refused:
            await ask
        assert str(refused.value) == (
            "schedule 'nightly' was declared in code, and no daemon is alive to say whether it still is; "
            "start one first"
        )
    await bureau.schedules.expect(["nightly"])
    bureau.work()

    async def is_heard_of() -> bool:
        return (await bureau.schedules.get("nightly")).why == "no daemon is alive that declares it so in code"

    await until(is_heard_of)
    await bureau.schedules.expect(["nightly"], removable=True)
    assert await bureau.schedules.remove("nightly")
    assert await bureau.schedules.list() == []


async def test_all_names_are_looked_at_before_anything_is_done(bureau):
    await bureau.declare(a_schedule())
    await bureau.schedules.expect(["nightly"])
    with pytest.raises(ScheduleNotFoundError, match="there is no schedule 'nope'"):
        await bureau.schedules.expect(["nightly", "nope"])
    with pytest.raises(ScheduleOwnedError, match="'nightly' is declared in the settings"):
        await bureau.schedules.expect(["nightly"], removable=True)


async def test_the_history_tells_the_zone_of_each_schedule(bureau):
    await bureau.declare(a_schedule(zone="Asia/Jakarta"))
    await bureau.schedules.trigger("nightly", wait=None)
    assert [line.zone for line in await bureau.schedules.history()] == ["Asia/Jakarta"]


async def test_what_does_not_end_in_time_is_accepted_and_no_second_one_overlaps_it(bureau):
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def tidy(ctx) -> None:
        begun.set()
        await may_end.wait()

    bureau.work(tidy)
    await bureau.declare(a_schedule(), a_schedule("often", overlap="allow"))

    async def is_served() -> bool:
        return not (await bureau.schedules.get("often")).why

    await until(is_served)
    first = await bureau.schedules.trigger("nightly", wait=None)
    assert (first.state, first.message) == ("accepted", "")
    await begun.wait()
    with pytest.raises(ScheduleBusyError) as refused:
        await bureau.schedules.trigger("nightly")
    assert str(refused.value) == (
        f"schedule 'nightly' runs already, and its runs may not overlap: job {first.job_id} has not ended"
    )
    view = await bureau.schedules.get("nightly")
    assert view.why == f"job {first.job_id} has not ended; due times meanwhile are passed over"
    one = await bureau.schedules.trigger("often", wait="50ms")
    two = await bureau.schedules.trigger("often", wait=0.05)
    assert one.job_id != two.job_id
    assert (one.state, two.state) == ("accepted", "accepted")
    assert "after 0.05 s" in one.message
    may_end.set()
    assert await bureau.hall.client.job(first.job_id).result(5) is None
    assert (await bureau.schedules.trigger("nightly")).state == "succeeded"


async def test_a_run_has_ended_when_redis_says_so_though_the_ledger_does_not_know_it_yet(redis_url, redis, ledger_url):
    async with a_bureau(redis_url, redis, ledger_url) as bureau:
        bureau.recorder.stop()
        bureau.work()
        await bureau.declare(a_schedule())
        for _ in range(2):
            assert (await bureau.schedules.trigger("nightly")).state == "succeeded"
        assert not (await bureau.schedules.get("nightly")).last.live
        assert [line.live for line in await bureau.schedules.history("nightly")] == [False, False]


async def test_of_two_triggers_at_once_one_runs(bureau):
    await bureau.declare(a_schedule())
    asked = [bureau.schedules.trigger("nightly", wait=None) for _ in range(4)]
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one).__name__ for one in ended].count("ScheduleBusyError") == 3
    assert len(await bureau.schedules.history()) == 1


async def test_what_does_not_run_by_itself_can_be_triggered(bureau):
    bureau.work()
    await bureau.declare(a_schedule("off", enabled=False), a_schedule("paused"))
    await bureau.schedules.pause("paused")
    for name in ("off", "paused"):
        assert (await bureau.schedules.trigger(name)).state == "succeeded"
    assert [view.state for view in await bureau.schedules.list()] == ["disabled", "paused"]


async def test_how_long_to_wait_is_checked_before_anything_runs(bureau):
    await bureau.declare(a_schedule())
    with pytest.raises(InvalidOptionError, match="option 'wait' is 'soon'; allowed is a number of seconds, a duration"):
        await bureau.schedules.trigger("nightly", wait="soon")
    assert await bureau.schedules.history() == []


async def test_an_unknown_name_is_refused_with_the_names_that_are_near(bureau):
    await bureau.declare(a_schedule("daily-cleanup"), a_schedule("daily-report"))
    for ask in ("get", "next", "history", "pause", "resume", "trigger"):
        with pytest.raises(ScheduleNotFoundError) as refused:
            await getattr(bureau.schedules, ask)("daily-clean")
        assert (
            str(refused.value) == "there is no schedule 'daily-clean'; did you mean 'daily-cleanup' or 'daily-report'?"
        )
    with pytest.raises(ScheduleNotFoundError, match=r"no schedule 'x'; known are daily-cleanup, daily-report$"):
        await bureau.schedules.get("x")


NONE = {
    True: "known are none$",
    False: "known are none; no Postgres is configured here, in which daemons that have one keep theirs$",
}


@pytest.mark.parametrize(
    "name", ["", "\0", "a b", "\ud800", "x" * 100_000], ids=["empty", "zero", "space", "half", "long"]
)
async def test_what_can_be_no_name_is_no_schedule(bureau, name):
    for ask in ("get", "next", "history", "pause", "resume", "trigger"):
        with pytest.raises(ScheduleNotFoundError, match=NONE[bureau.ledger]):
            await getattr(bureau.schedules, ask)(name)
    assert not await bureau.schedules.remove(name)


async def test_who_pauses_is_a_short_text(bureau):
    await bureau.declare(a_schedule())
    for by in ("ana\0", "x" * 101):
        with pytest.raises(InvalidOptionError, match="allowed is a text of at most 100 printable characters"):
            await bureau.schedules.pause("nightly", by=by)
    assert await bureau.schedules.pause("nightly", by="Ana Ñ")


async def test_what_is_declared_is_neither_updated_nor_removed_here(bureau):
    await bureau.declare(a_schedule(), a_schedule("weekly", source="code"))
    for act in (bureau.schedules.update("nightly", at="0 1 * * *"), bureau.schedules.remove("nightly")):
        with pytest.raises(ScheduleOwnedError) as refused:
            await act
        assert str(refused.value) == (
            "schedule 'nightly' is declared in the settings, and is changed or removed there; a pause works here"
        )
    with pytest.raises(ScheduleOwnedError, match="'weekly' is declared in code, and"):
        await bureau.schedules.remove("weekly")
    assert [view.name for view in await bureau.schedules.list()] == ["nightly", "weekly"]


async def test_a_change_that_others_are_always_quicker_with_ends_in_an_error(bureau, monkeypatch):
    await bureau.declare(a_schedule())
    apply, tries = bureau.schedules._store.apply, []

    async def outrun(changes):
        tries.append(1)
        return set() if len(tries) < lost else await apply(changes)

    monkeypatch.setattr(bureau.schedules._store, "apply", outrun)
    lost = 3
    assert await bureau.schedules.pause("nightly")
    lost = 1000
    with pytest.raises(ScheduleError, match="schedule 'nightly' was changed by others 8 times in a row; try again"):
        await bureau.schedules.resume("nightly")
    assert len(tries) == 3 + 8


async def test_a_redis_that_is_away_is_said_so(redis, ledger_url):
    async with a_bureau("redis://:secret@127.0.0.1:1/0", redis, None) as bureau:
        with pytest.raises(UnreachableError, match=r"Redis at redis://:\*\*\*@127.0.0.1:1/0 is out of reach"):
            await bureau.schedules.list()


async def test_redis_is_not_asked_where_postgres_keeps_schedules(redis, ledger_url):
    async with a_bureau("redis://127.0.0.1:1/0", redis, ledger_url) as bureau:
        await bureau.declare(a_schedule())
        asked = await bureau.schedules.trigger("nightly")
        assert (asked.state, asked.job_id != "") == ("accepted", True)
        assert asked.message.startswith("it is stored; what came of it is not known: Redis at redis://127.0.0.1:1/0")
        with pytest.raises(ScheduleBusyError):
            await bureau.schedules.trigger("nightly")
        await bureau.schedules.pause("nightly")
        assert [view.state for view in await bureau.schedules.list()] == ["paused"]
