"""arq's cron jobs as schedules: due when arq says, or left to the worker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from arq import cron

from jobsd import Worker
from jobsd.clock import ms_from_datetime
from jobsd.engine.arq.schedules import take_schedules

START = datetime(2026, 11, 23, 12, 30, 15, tzinfo=UTC)


async def sweep(ctx) -> None: ...
async def count(ctx) -> None: ...


def a_worker(*entries, **options) -> Worker:
    return Worker(functions=[], cron_jobs=list(entries), timezone=options.pop("zone", UTC), **options)


@pytest.mark.parametrize(
    "times",
    [
        {"hour": 9, "minute": 0},
        {"hour": {9, 17}, "minute": {0, 30}, "second": [5, 10]},
        {"weekday": 0, "hour": 2, "minute": 0},
        {"weekday": 6, "hour": 2, "minute": 0},
        {"weekday": "tues", "hour": 2, "minute": 0},
        {"weekday": {5, 6}, "day": {1, 2, 3, 4, 5, 6, 7}, "hour": 0, "minute": 0},
        {"day": 31, "hour": 0, "minute": 0},
        {"month": (2, 3), "day": 29, "hour": 0, "minute": 0},
        {"second": None},
        {},
    ],
    ids=str,
)
@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Asia/Jakarta"), timezone(timedelta(hours=-5))], ids=str)
async def test_a_cron_job_is_due_when_arq_says(times, zone):
    entry = cron(sweep, **times)
    [schedule] = take_schedules(worker := a_worker(entry, zone=zone))
    assert worker.cron_jobs == []
    expression, at = schedule.expression(0), ms_from_datetime(START)
    arqs = START.astimezone(zone)
    for _ in range(12):
        entry.calculate_next(arqs)
        arqs = entry.next_run
        at = expression.next(at)
        assert at == ms_from_datetime(arqs.replace(microsecond=0))
        arqs += timedelta(milliseconds=100)


async def test_it_keeps_arqs_rules_its_name_and_its_queue():
    [schedule] = take_schedules(a_worker(cron(sweep, hour=9), queue_name="arq:night"))
    assert (schedule.name, schedule.task, schedule.queue, schedule.source) == (
        "cron:sweep:arq:night",
        "cron:sweep",
        "arq:night",
        "arq",
    )
    assert (schedule.missed, schedule.overlap, schedule.both_days) == ("skip", "allow", True)


async def test_one_function_in_the_workers_of_two_queues_is_two_schedules():
    names = [take_schedules(a_worker(cron(sweep, hour=9), **of))[0].name for of in ({}, {"queue_name": "b:queue"})]
    assert names == ["cron:sweep", "cron:sweep:b:queue"]


async def test_several_entries_of_one_function_have_names_of_their_own_wherever_they_stand():
    nine, ten, other = cron(sweep, hour=9), cron(sweep, hour=10), cron(count, hour=9)
    taken = take_schedules(a_worker(nine, ten, other, cron(sweep, hour=9)))  # the same twice is one, as in arq
    names = {one.name for one in taken}
    assert len(names) == len(taken) == 3
    assert {name[:11] for name in names} == {"cron:sweep:", "cron:count"}
    assert {one.name for one in take_schedules(a_worker(other, ten, nine))} == names


@pytest.mark.parametrize(
    "entry",
    [
        cron(sweep, hour=9, unique=False),
        cron(sweep, hour=9, run_at_startup=True),
        cron(sweep, hour=9, job_id="sweep"),
        cron(sweep, hour=9, microsecond=500_000),
        cron(sweep, hour=9, name="sweep the floor"),
        cron(sweep, month=2, day=30),
        cron(sweep, hour=set()),
        cron(sweep, hour=25),
    ],
    ids=["not unique", "at startup", "job id", "microsecond", "name", "never", "no hour", "no such hour"],
)
async def test_what_would_mean_something_else_stays_with_the_worker(entry):
    worker = a_worker(entry)
    assert take_schedules(worker) == []
    assert worker.cron_jobs == [entry]


@pytest.mark.parametrize("options", [{"zone": timezone(timedelta(hours=5, minutes=30))}, {"burst": True}])
async def test_a_worker_whose_zone_has_no_name_or_that_ends_soon_keeps_all(options):
    worker = a_worker(entry := cron(sweep, hour=9), **options)
    assert take_schedules(worker) == []
    assert worker.cron_jobs == [entry]
