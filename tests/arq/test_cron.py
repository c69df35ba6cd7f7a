"""cron_jobs: which due times become jobs, and how often."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from arq import cron
from arq.jobs import Job, JobStatus

from jobsd.engine.arq.cron import Ticker
from jobsd.store.neighbours import Neighbours
from tests.arq.office import soon

EVERY_SECOND = set(range(60))


async def tick(ctx):
    return ctx["job_id"]


class Clock(Neighbours):
    """The server's time as this worker sees it, which a test may move."""

    def __init__(self, redis, base: str = "arq:queue") -> None:
        super().__init__(redis, base)
        self.ahead_ms = 0

    async def now_ms(self) -> int:
        return await super().now_ms() + self.ahead_ms


def ticker(office, *entries, **options) -> tuple[Ticker, Clock]:
    """Return the cron service of a worker that does not run."""
    clock = Clock(office.redis)
    return Ticker(office.worker(cron_jobs=entries, **options), clock, lambda: None), clock


async def queued(office) -> list[str]:
    return [job_id.decode() for job_id in await office.redis.zrange("arq:queue", 0, -1)]


async def test_a_job_runs_at_each_of_its_times(office) -> None:
    seen, twice = [], asyncio.Event()

    async def regularly(ctx):
        seen.append((ctx["job_id"], ctx["score"]))
        if len(seen) == 2:
            twice.set()

    office.open(cron_jobs=[cron(regularly, name="regular", second=EVERY_SECOND)])
    await soon(twice)
    (first_id, first), (second_id, second) = seen
    assert first_id == f"regular:{first}"
    assert second_id == f"regular:{second}"
    assert second - first == 1000
    assert first % 1000 == 123  # arq's microsecond=123_456


async def test_it_does_not_run_before_its_time(office) -> None:
    early = []
    ran = asyncio.Event()

    async def regularly(ctx):
        seconds, microseconds = await office.redis.time()
        early.append(seconds * 1000 + microseconds // 1000 < ctx["score"])
        ran.set()

    office.open(cron_jobs=[cron(regularly, second=EVERY_SECOND)])
    await soon(ran)
    assert early == [False]


async def test_run_at_startup_runs_once_as_the_worker_starts_also_in_a_burst(office) -> None:
    runs = []

    async def regularly(ctx):
        runs.append(ctx["job_id"])

    worker = await office.burst(cron_jobs=[cron(regularly, hour=1, run_at_startup=True)], max_jobs=1)
    assert len(runs) == 1
    assert worker.jobs_complete == 1


async def test_a_burst_does_not_end_before_what_is_due_at_its_start(office, monkeypatch) -> None:
    async def too_late(self):
        await asyncio.Event().wait()

    monkeypatch.setattr(Ticker, "run", too_late)
    worker = await office.burst(cron_jobs=[cron(tick, hour=1, run_at_startup=True)])
    assert worker.jobs_complete == 1


async def test_of_many_workers_one_runs_a_unique_job_and_each_the_others(office) -> None:
    runs: list[str] = []
    enough = asyncio.Event()

    async def together(ctx):
        runs.append(f"unique {ctx['score']}")

    async def apart(ctx):
        runs.append(f"each {ctx['score']}")
        if len([run for run in runs if run.startswith("each")]) == 9:
            enough.set()

    for _ in range(3):
        entries = [
            cron(together, second=EVERY_SECOND),
            cron(apart, second=EVERY_SECOND, unique=False, microsecond=500_000),
        ]
        office.open(cron_jobs=entries)
    await soon(enough)
    unique = [run for run in runs if run.startswith("unique")]
    assert len(unique) == len(set(unique))
    each = [run for run in runs if run.startswith("each")]
    assert max(each.count(run) for run in each) == 3


async def test_a_tick_is_not_run_again_by_a_worker_that_comes_late(office) -> None:
    entries = [cron(tick, name="t", second=EVERY_SECOND) for _ in range(2)]
    (quick, _), (slow, behind) = (ticker(office, entry) for entry in entries)
    await slow.tick()  # it has seen when the next one is, and then blocks its loop
    due = entries[1].next_run
    await quick.tick()
    entries[0].next_run = due
    await quick.tick()
    assert await queued(office) == [f"t:{round(due.timestamp() * 1000)}"]
    await office.redis.delete("arq:queue", *await office.redis.keys("arq:job:*"))  # it has run, and left no result
    behind.ahead_ms = 65_000  # after the minute for which arq remembers it
    await slow.tick()
    assert await queued(office) == []


async def test_a_worker_that_stood_still_makes_up_for_one_of_the_times_it_missed(office) -> None:
    entry = cron(tick, name="t", second=EVERY_SECOND)
    service, clock = ticker(office, entry)
    await service.tick()
    clock.ahead_ms = 8 * 3_600_000
    for _ in range(3):
        await service.tick()
    assert len([job for job in await queued(office) if job.startswith("t:")]) <= 3  # the missed, and the next
    assert entry.next_run > datetime.now(UTC) + timedelta(hours=7)


async def test_times_missed_for_seconds_are_all_run(office) -> None:
    entry = cron(tick, name="t", second=EVERY_SECOND)
    service, clock = ticker(office, entry)
    await service.tick()
    clock.ahead_ms = 5000
    for _ in range(5):
        await service.tick()
    assert len(await queued(office)) >= 5


async def test_a_tick_is_not_lost_when_redis_does_not_take_it(office) -> None:
    entry = cron(tick, name="t", second=EVERY_SECOND)
    service, clock = ticker(office, entry)
    await service.tick()
    due = entry.next_run
    clock.ahead_ms = 1500
    await office.redis.set("arq:queue", "no queue")
    with pytest.raises(Exception, match="WRONGTYPE"):
        await service.tick()
    await office.redis.delete("arq:queue", f"arq:job:t:{round(due.timestamp() * 1000)}", "arq:queue:cron")
    await service.tick()
    assert await queued(office) == [f"t:{round(due.timestamp() * 1000)}"]


async def test_entries_of_one_function_do_not_hold_each_other_up(office) -> None:
    later = cron(tick, name="t", second=EVERY_SECOND, microsecond=900_000)
    sooner = cron(tick, name="t", second=EVERY_SECOND, microsecond=100_000)
    service, clock = ticker(office, later, sooner)
    await service.tick()
    clock.ahead_ms = 2000
    await service.tick()
    assert len(await queued(office)) == 2


async def test_entries_with_one_job_id_are_one_job_at_a_time(office) -> None:
    runs = []

    async def one(ctx):
        runs.append("one")

    async def other(ctx):
        runs.append("other")

    entries = [cron(one, hour=1, run_at_startup=True, job_id="j"), cron(other, hour=2, run_at_startup=True, job_id="j")]
    await office.burst(cron_jobs=entries)
    assert runs == ["one"]


async def test_a_date_that_does_not_exist_is_said_once_and_holds_up_nobody(office, caplog) -> None:
    never, often = cron(tick, name="n", month=2, day=30), cron(tick, name="t", second=EVERY_SECOND)
    service, clock = ticker(office, never, often)
    await service.tick()
    clock.ahead_ms = 2000
    await service.tick()
    assert [job.partition(":")[0] for job in await queued(office)] == ["t"]
    assert caplog.text.count("cron.skipped") == 1


async def test_no_result_is_kept_unless_it_is_asked_for(office) -> None:
    await office.burst(cron_jobs=[cron(tick, name="not", hour=1, run_at_startup=True)])
    await office.burst(cron_jobs=[cron(tick, name="kept", hour=1, run_at_startup=True, keep_result=60)])
    [result] = await office.jobs.all_job_results()
    assert result.function == "kept"


async def test_a_cron_job_that_a_shutdown_cuts_off_is_not_lost(office) -> None:
    began = asyncio.Event()
    tries = []

    async def long(ctx):
        tries.append(ctx["job_try"])
        began.set()
        if len(tries) == 1:
            await asyncio.Event().wait()
        return "well"

    worker = office.open(cron_jobs=[cron(long, name="long", hour=1, run_at_startup=True, keep_result=60)])
    await soon(began)
    [job_id] = await queued(office)
    await office.shut(worker)
    await office.burst(cron_jobs=[cron(long, name="long", hour=1, keep_result=60)])
    assert await Job(job_id, office.jobs).result(timeout=0) == "well"
    assert tries == [1, 1]  # max_tries of a cron job is 1


async def test_schedules_are_read_in_the_workers_timezone(office) -> None:
    zone = timezone(timedelta(hours=7))
    entry = cron(tick, hour=5, minute=30)
    service, _ = ticker(office, entry, timezone=zone)
    await service.tick()
    assert entry.next_run.utcoffset() == timedelta(hours=7)
    assert (entry.next_run.hour, entry.next_run.astimezone(UTC).hour) == (5, 22)


async def test_a_cron_jobs_name_may_be_enqueued_by_a_client(office) -> None:
    job = await office.jobs.enqueue_job("t")
    await office.burst(cron_jobs=[cron(tick, name="t", hour=1, keep_result=60)])
    assert await job.result(timeout=0) == job.job_id
    assert await job.status() is JobStatus.complete
