"""What is known of schedules whose runs were fired in Redis while Postgres, which keeps them, was away."""

from __future__ import annotations

import pytest

from jobsd.errors import ScheduleBusyError
from jobsd.schedule.state import Change, Fired
from jobsd.schedule_jobs import job_of
from jobsd.scheduler.bridge import Bridge
from jobsd.store.outbox import incarnation_in
from jobsd.store.spare_schedules import SpareSchedules
from tests.admin.bureau import a_schedule

pytestmark = pytest.mark.parametrize("bureau", ["postgres"], indirect=True)


async def fired_in_redis(bureau, name="nightly"):
    """Fire it once as a daemon does that cannot reach Postgres; return where such things are kept."""
    entry, spares = await bureau.entry(name), SpareSchedules(bureau.hall.redis)
    due = entry.state.cursor + 1000
    job = job_of(entry.schedule, due, due, outbox=True)
    state = entry.state._replace(
        cursor=due, runs=1, last_due=due, last_job=f"{job.id} {incarnation_in(job)}", last_queue=job.queue
    )
    assert await spares.apply([Change(name, 0, state, fired=[Fired(due, job)])])
    return spares


async def test_a_run_that_goes_on_is_known_to_and_keeps_a_trigger_from_running_beside_it(bureau):
    await bureau.declare(a_schedule())
    await Bridge(await fired_in_redis(bureau)).carry(bureau.store)
    assert (await bureau.schedules.get("nightly")).last.live
    [line] = await bureau.schedules.history("nightly")
    assert (line.state, line.live) == ("fired", True)
    with pytest.raises(ScheduleBusyError):
        await bureau.schedules.trigger("nightly", wait=None)


async def test_one_that_is_added_anew_has_nothing_of_the_one_that_was_removed(bureau):
    await bureau.schedules.add("nightly", task="tidy", at="@yearly")
    spares = await fired_in_redis(bureau)
    assert await bureau.schedules.remove("nightly")
    await bureau.schedules.add("nightly", task="tidy", at="@yearly")
    anew = (await bureau.entry()).state
    assert await Bridge(spares).carry(bureau.store) == (0, set())
    assert (await bureau.entry()).state == anew
