"""Due times become jobs: one each, whoever comes to them."""

from __future__ import annotations

from contextlib import AsyncExitStack

from jobsd.store.codec import decode_payload
from tests.scheduler.conftest import a_schedule
from tests.waiting import until


async def test_each_due_time_becomes_one_job_however_many_daemons_come_to_it(ground):
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(ground.scheduler(a_schedule(overlap="allow")))

        async def several():
            return len(await ground.fired()) >= 3

        await until(several)
    fired = await ground.fired()
    assert fired == list(range(fired[0], fired[-1] + 1, 1000))

    async def all_there():
        return len(await ground.jobs()) >= len(fired)

    await until(all_there)
    jobs = await ground.jobs()
    assert len(jobs) == len(set(jobs)) == len(fired)


async def test_a_job_says_which_schedule_and_which_due_time_it_is_of(ground):
    async with ground.scheduler(a_schedule(args=(1,), kwargs={"b": [2]}, queue="low", timeout_ms=5000, retries=2)):
        await until(lambda: ground.jobs("low"))
    [job] = await ground.jobs("low")
    [due] = await ground.fired()
    payload = decode_payload(await ground.redis.get(f"arq:job:{job}"))
    assert job.startswith("cron:nightly:20")
    assert (payload.task, payload.args, payload.kwargs) == ("reports:nightly", (1,), {"b": [2]})
    assert payload.options == {"s": "nightly", "sd": due, "t": 5000, "r": 2}
