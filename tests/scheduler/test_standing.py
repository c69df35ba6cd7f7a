"""How a schedule stands decides: its last run, a pause, what other daemons declare, what Redis has lost."""

from __future__ import annotations

import asyncio
import time

import pytest

from jobsd.events import Event
from jobsd.schedule.declared import fingerprint_of
from jobsd.schedule.state import Change
from jobsd.scheduler import roster
from tests.scheduler.conftest import HOUR_MS, a_schedule
from tests.waiting import until


def mid_hour():
    """Return an hourly expression that is due half an hour from now."""
    return f"{(time.gmtime().tm_min + 30) % 60} * * * *"


async def change(ground, **fields):
    """Change the schedule's state as an operator does."""
    entry = await ground.entry()
    assert await ground.store.apply([Change("nightly", entry.version, entry.state._replace(**fields), tell=True)])


@pytest.mark.parametrize(("missed", "runs"), [("skip", 0), ("once", 1), ("all", 3)])
async def test_an_absence_of_three_hours_is_made_up_for_as_the_policy_says(ground, missed, runs):
    schedule = a_schedule(mid_hour(), missed=missed, overlap="allow")
    await ground.store.declare([schedule], "f", at_start=True)
    await ground.set_back(3 * HOUR_MS)
    async with ground.scheduler(schedule):
        await until(lambda: ground.store.history("nightly", 10))
    assert len(await ground.fired()) == runs
    assert await ground.passed() == ([] if runs == 3 else [("missed", 3 - runs)])


async def test_a_run_that_goes_on_lets_due_times_pass_until_it_has_ended(ground):
    async with ground.scheduler(a_schedule()):
        await until(ground.passed)
        [job] = await ground.jobs()
        assert {reason for reason, _ in await ground.passed()} == {"overlap"}
        await ground.end(job)

        async def next_one():
            return [other for other in await ground.jobs() if other != job]

        await until(next_one)


async def test_a_queued_due_time_waits_for_the_run_before(ground):
    async with ground.scheduler(a_schedule(overlap="queue")):

        async def waiting():
            return len((await ground.entry()).state.waiting) >= 2

        await until(ground.fired)
        await until(waiting)
        first, second = (await ground.fired())[0], (await ground.entry()).state.waiting[0]
        assert second == first + 1000
        [job] = await ground.jobs()
        await ground.end(job)

        async def fired_next():
            return await ground.fired() == [first, second]

        await until(fired_next)


async def test_a_pause_lasts_and_what_was_due_meanwhile_is_passed_over(ground):
    schedule = a_schedule(overlap="allow")
    async with ground.scheduler(schedule):
        await until(ground.fired)
        await change(ground, paused_at=1, paused_by="somebody")
    before = await ground.fired()
    await ground.set_back(5000)
    async with ground.scheduler(schedule) as scheduler:
        await until(lambda: "nightly" in scheduler.plans)
        now = (await ground.store.look([])).now
        assert await ground.fired() == before
        await change(ground, paused_at=None, resumed_at=now)
        scheduler.heard()
        await until(ground.passed)
        [(reason, _), *_] = await ground.passed()
        assert reason == "paused"

        async def goes_on():
            return (await ground.fired())[-1] > now

        await until(goes_on)
    assert [due for due in await ground.fired() if due not in before and due <= now] == []


async def test_it_ends_after_its_last_run_and_says_so_in_its_state(ground):
    async with ground.scheduler(a_schedule(max_runs=2, overlap="allow"), a_schedule(name="other", overlap="allow")):

        async def both():
            return len(await ground.fired("other")) >= 4

        await until(both)
    assert len(await ground.fired()) == 2
    assert (await ground.entry()).state.runs == 2


async def test_what_is_declared_otherwise_by_a_later_daemon_is_not_fired_by_the_earlier(ground, caplog):
    ours, theirs = a_schedule("@every 1s", overlap="allow"), a_schedule("@yearly", overlap="allow")
    async with ground.scheduler(ours) as scheduler:
        await until(ground.fired)
        await ground.store.declare([theirs], fingerprint_of([theirs]), at_start=True)
        scheduler.heard()
        await until(lambda: "nightly" not in scheduler.plans)
    assert (await ground.entry()).schedule.at == "@yearly"
    assert Event.SCHEDULE_SUPERSEDED in [record.message for record in caplog.records]


async def test_the_earlier_daemon_goes_on_when_the_later_one_is_gone(ground, monkeypatch):
    monkeypatch.setattr(roster, "_SETTLED_S", 0.0)
    ours, theirs = a_schedule("@every 1s", overlap="allow"), a_schedule("@yearly", overlap="allow")
    async with ground.scheduler(ours) as scheduler:
        await ground.store.declare([theirs], "theirs", at_start=True)
        scheduler.heard()
        await until(lambda: "nightly" not in scheduler.plans)
        if ground.pool is None:
            await ground.redis.zadd("jobsd:{main}::declared", {"theirs": 1})
        else:
            await ground.pool.execute(
                "UPDATE jobsd.schedule_declarations SET seen_at = 'epoch' WHERE fingerprint = 'theirs'"
            )
        scheduler.heard()
        await until(ground.fired)
    assert (await ground.entry()).schedule.at == "@every 1s"


async def test_another_time_counts_from_when_it_was_declared(ground):
    await ground.store.declare([a_schedule("@yearly", missed="all")], "f", at_start=True)
    await ground.set_back(3 * HOUR_MS)
    async with ground.scheduler(a_schedule(mid_hour(), missed="all")) as scheduler:
        await until(lambda: "nightly" in scheduler.plans)
        assert await ground.jobs() == []
    assert (await ground.store.look([])).now - (await ground.entry()).state.cursor < HOUR_MS


async def test_due_times_go_on_one_by_one_when_redis_has_lost_everything(ground):
    async with ground.scheduler(a_schedule(overlap="allow")) as scheduler:
        await until(ground.fired)
        seen = await ground.fired()
        await ground.redis.flushdb()

        async def more():
            return len(set(await ground.fired()) - set(seen)) >= 2

        await until(more)
        fired = await ground.fired()
        assert scheduler.failures == 0
    new = [due for due in fired if due not in seen]
    assert len(set(fired)) == len(fired)
    assert new[0] - seen[-1] in {1000, 2000}
    assert new == list(range(new[0], new[-1] + 1, 1000))


async def test_arguments_that_make_no_job_are_passed_over_with_the_reason(ground):
    async with ground.scheduler(a_schedule(kwargs={"text": "x" * 1_100_000}, overlap="allow")):
        await until(ground.passed)
    [(reason, _), *_] = await ground.passed()
    assert "1,048,576" in reason


@pytest.mark.parametrize("answer", [asyncio.CancelledError(), SystemExit(3), "no", None], ids=repr)
async def test_whatever_a_holidays_function_does_its_schedule_and_others_go_on(ground, caplog, answer):
    def is_holiday(_):
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async with ground.scheduler(a_schedule(is_holiday=is_holiday, overlap="allow"), a_schedule(name="other")):
        await until(ground.fired)
        await until(lambda: ground.fired("other"))
    assert Event.HOLIDAYS_FAILED in [record.message for record in caplog.records]


async def test_holidays_are_asked_in_the_zone_of_the_schedule_and_one_that_fails_lets_it_run(ground, caplog):
    asked = []

    def is_holiday(at):
        asked.append(at)
        if len(asked) > 1:
            raise ValueError("no calendar")
        return True

    async with ground.scheduler(a_schedule(zone="Asia/Jakarta", is_holiday=is_holiday, overlap="allow")):
        await until(ground.fired)
    [(reason, _)] = await ground.passed()
    assert reason == "holiday"
    assert asked[0].utcoffset().total_seconds() == 7 * 3600
    assert Event.HOLIDAYS_FAILED in [record.message for record in caplog.records]
