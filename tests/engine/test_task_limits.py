"""What configuration limits, for all workers; and what tasks ask for themselves: hours, and resources."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import JobState
from jobsd.engine.runner import with_resources
from jobsd.hours import Hours
from jobsd.store.codec import decode_payload
from jobsd.store.jobs import Jobs
from jobsd.store.looks import Looks
from tests.engine.hall import a_task, until
from tests.engine.test_gates import Doors

if TYPE_CHECKING:
    from jobsd.engine.worker import Worker


async def quick(ctx) -> int:
    return ctx.attempt


async def limits_of(hall: Any, name: str = "default") -> str:
    return (await Looks(hall.redis).limits([name]))[name]


async def ready(hall: Any, worker: Worker) -> None:
    """Wait until the worker has said what its queues' limits are: it claims afterwards."""
    queue = next(iter(worker.dispatcher._queues))
    await hall.result(await hall.client.enqueue("quick", _queue=queue))


# --- what configuration says ----------------------------------------------------------------------


async def test_a_worker_says_the_limits_of_its_queues_and_of_resources_before_its_first_claim(hall) -> None:
    queue = {
        "concurrency": 7,
        "global_concurrency": 4,
        "rate": "500/10s",
        "per_key": {"concurrency": 2, "rate": "3/m"},
        "hours": "00:00-24:00",
    }
    worker = hall.open(
        quick, queues={"default": queue, "plain": 1}, resources={"stripe": {"concurrency": 1, "rate": "9/s"}}
    )
    await ready(hall, worker)
    assert await limits_of(hall) == "4:500:10000:2:3:60000|7|00:00-24:00 UTC"
    assert await limits_of(hall, "plain") == ""
    assert await limits_of(hall, "r=stripe") == "1:9:1000:::||"


async def test_a_limit_that_is_configured_no_more_is_gone_when_the_next_worker_starts(hall) -> None:
    before = hall.open(quick, queues={"default": {"rate": "500/10s"}, "other": {"concurrency": 3}})
    await ready(hall, before)
    await hall.stop(before)
    assert await limits_of(hall)
    await ready(hall, hall.open(quick))
    assert await limits_of(hall) == ""
    assert await limits_of(hall, "other") != "", "a queue that it does not serve is none of its business"


async def test_what_was_set_at_run_time_goes_before_the_configuration_of_workers_to_come(hall) -> None:
    await Jobs(hall.redis).limit("default", "set", "*:500:10000:*:*:*|*|*")
    await ready(hall, hall.open(quick, queues={"default": {"rate": "9/s"}}))
    assert await limits_of(hall) == ":500:10000:::||"
    assert await Jobs(hall.redis).limit("default", "reset") == ":9:1000:::||"


async def test_a_concurrency_across_all_workers_holds_across_two(hall) -> None:
    doors = Doors()
    for _ in range(2):
        hall.open(doors.passes, queues={"default": {"global_concurrency": 1}}, poll="1h")
    references = [await hall.client.enqueue("passes") for _ in range(6)]
    for n in range(1, 7):
        await until(lambda n=n: len(doors.seen) == n)
        doors.let_out()
    for reference in references:
        await hall.result(reference)
    assert doors.most == 1


@pytest.mark.parametrize("limit", ["concurrency", "global_concurrency"])
async def test_a_burst_goes_on_to_what_waited_for_the_end_of_its_own_jobs(hall, limit) -> None:
    for _ in range(40):
        await hall.client.enqueue("quick")
    worker = hall.make(quick, queues={"default": {limit: 1}})
    await hall.start(worker, burst=True)
    assert worker.ended["C"] == 40


# --- hours of a task ------------------------------------------------------------------------------


async def test_a_job_of_a_task_with_hours_waits_for_them_and_nothing_is_counted(hall, monkeypatch) -> None:
    opens = int(time.time() * 1000) + 700
    monkeypatch.setattr(Hours, "interval", lambda _self, _now: (opens, opens + 3_600_000))
    worker = hall.open(a_task(quick, hours="22:00-06:00"), records=True, poll="1h")
    reference = await hall.client.enqueue("quick")
    await until(lambda: worker.ended["Q"])
    await until(lambda: _is(reference, JobState.SCHEDULED))
    assert await Looks(hall.redis).side("default", reference.id) == {}
    assert await hall.result(reference) == 1
    (run,) = await hall.executions(1)
    assert (run.attempt, run.outcome) == (1, "succeeded")
    assert 0 <= run.started_at - opens < 1000
    assert worker.ended["Q"] == 1


async def test_a_task_in_its_hours_runs_at_once(hall, monkeypatch) -> None:
    monkeypatch.setattr(Hours, "interval", lambda _self, now: (now - 1000, now + 1000))
    worker = hall.open(a_task(quick, hours="22:00-06:00"))
    assert await hall.result(await hall.client.enqueue("quick")) == 1
    assert not worker.ended["Q"]


async def test_hours_of_a_task_are_those_of_the_workers_zone(hall, monkeypatch) -> None:
    zones = []
    monkeypatch.setattr(Hours, "interval", lambda self, now: (zones.append(self.zone), (now - 1000, now + 1000))[1])
    own = a_task(quick, name="own", hours="22:00-06:00 UTC")
    hall.open(a_task(quick, hours="22:00-06:00"), own, timezone="Asia/Jakarta")
    for name in ("quick", "own"):
        await hall.result(await hall.client.enqueue(name))
    assert zones == ["Asia/Jakarta", "UTC"]


async def _is(reference: Any, state: JobState) -> bool:
    return await reference.status() is state


# --- resources of a task --------------------------------------------------------------------------


async def test_a_job_whose_caller_did_not_know_its_tasks_resources_runs_under_their_limits(hall) -> None:
    doors = Doors()
    task = a_task(doors.passes, resources=("stripe",))
    worker = hall.open(
        task,
        queues={"default": 1, "other": 1},
        resources={"stripe": {"concurrency": 1}},
        records=True,
        poll="1h",
    )
    references = [await hall.client.enqueue("passes", _queue=queue) for queue in ("default", "other") * 2]
    for n in range(1, 5):
        await until(lambda n=n: len(doors.seen) == n)
        doors.let_out()
    for reference in references:
        await hall.result(reference)
    assert doors.most == 1
    assert worker.ended["L"] == 4, "each is told once"
    runs = await hall.executions(4)
    assert [(run.attempt, run.outcome) for run in runs] == [(1, "succeeded")] * 4


async def test_a_job_that_waits_for_a_resource_says_so_in_its_payload_and_keeps_the_rest(hall) -> None:
    doors = Doors()
    hall.open(a_task(doors.passes, resources=("stripe",)), resources={"stripe": {"concurrency": 1}})
    first = await hall.client.enqueue("passes")
    await until(lambda: doors.seen == [first.id])
    second = await hall.client.enqueue("passes", _limit_key="acme", _timeout="7m")
    await until(lambda: _limits(hall, second.id, "k=acme,r=stripe"))
    stored = decode_payload(await Looks(hall.redis).payload(second.id))
    assert (stored.task, stored.options) == ("passes", {"t": 420_000})
    assert await second.status() is JobState.PENDING
    doors.let_out(2)
    assert await hall.result(second) == second.id


async def _limits(hall: Any, job_id: str, limits: str) -> bool:
    return decode_payload(await Looks(hall.redis).payload(job_id)).limits == limits


async def test_a_job_of_an_arq_client_runs_without_the_resources_of_its_task(hall) -> None:
    hall.open(a_task(quick, resources=("stripe",)))
    await hall.redis.set("arq:job:plain", b'{"t":null,"f":"quick","a":[],"k":{},"et":1}')
    await hall.redis.zadd("jobsd:{main}:default", {"plain": 1})
    assert await hall.result(hall.client.job("plain")) == 1


@pytest.mark.parametrize(
    ("limits", "resources", "then"),
    [
        ("", ["a", "b"], "r=a,r=b"),
        ("r=a", ["a"], "r=a"),
        ("k=x,r=b", ["a", "b"], "k=x,r=a,r=b"),
        ("k=x,u=00/5,o=11", ["a"], "k=x,r=a,u=00/5,o=11"),
        ("u=00/5", ["a"], "r=a,u=00/5"),
    ],
)
def test_resources_stand_behind_the_limit_key_and_before_the_rest(limits: str, resources: list[str], then: str) -> None:
    assert with_resources(limits, resources) == then
