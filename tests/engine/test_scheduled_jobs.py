"""Scheduled work as a class, run by a worker."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import BaseScheduledJob, JobState, db_context, definition
from jobsd.errors import (
    JobFailedError,
    NotConfiguredError,
    OutsideJobError,
    ScheduleDefinitionError,
    TaskDefinitionError,
)
from jobsd.schedule import declared
from jobsd.schedule.declared import schedules_of
from jobsd.schedule_jobs import job_of
from tests.registered import nothing_else_declared
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd import JobRef
    from tests.engine.hall import Hall

NINE = 1_764_061_200_000  # 2025-11-25T09:00:00Z


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    with nothing_else_declared():
        yield


def open_worker(hall: Hall, **options: Any) -> None:
    hall.open(*definition.registry.values(), **options)


async def fire(hall: Hall, name: str) -> JobRef[Any]:
    """Store the job of a due time, as the scheduler makes it."""
    [schedule] = [one for one in schedules_of({}, definition.registry, zone="UTC") if one.name == name]
    job = job_of(schedule, NINE, NINE, outbox=False)
    return hall.client._reference(job, await hall.client._sending.store(job))


class Kept(BaseScheduledJob):
    """A base of jobs: it has no id, and so is none."""

    queue = "default"
    max_retries = 0


async def test_the_guides_example_runs_with_only_its_imports_changed(hall, db, caplog):
    caplog.set_level(logging.INFO)
    from tests.engine.reference_job import MyNewJob  # noqa: PLC0415 - it is declared by being imported

    if not definition.registry:  # by another test
        MyNewJob.__init_subclass__()
    [schedule] = schedules_of({}, definition.registry, zone="Asia/Jakarta")
    assert (schedule.name, schedule.at, schedule.zone) == ("my_new_job", "0 9 * * *", "Asia/Jakarta")
    assert schedule.description == "Deskripsi singkat job ini"
    task = definition.registry["my_new_job"]
    assert (task.retries, task.backoff.delay_ms(1), task.backoff.delay_ms(3)) == (3, 60_000, 60_000)
    open_worker(hall, db=db, records=True)
    answer = {"success": True, "message": "Job berhasil dijalankan", "data": {"processed": 100}}
    assert await hall.result(await fire(hall, "my_new_job")) == answer
    [execution] = await hall.executions(1)
    assert (execution.outcome, execution.message, execution.result_data) == (
        "succeeded",
        "Job berhasil dijalankan",
        answer,
    )
    assert (execution.schedule_id, execution.job_id) == ("my_new_job", "cron:my_new_job:2025-11-25T09:00:00Z")
    assert "Memulai MyNewJob..." in caplog.messages


async def test_success_false_is_a_failed_attempt_with_that_message(hall):
    class Import(Kept):
        job_id = "import"
        interval_seconds = 3600
        max_retries = 1
        retry_delay_seconds = 0

        async def execute(self) -> dict[str, Any]:
            return {"success": False, "message": "no file came", "data": None}

    open_worker(hall, records=True)
    reference = await fire(hall, "import")
    with pytest.raises(JobFailedError, match="failed: no file came") as caught:
        await hall.result(reference)
    assert caught.value.error_type == "UnsuccessfulError"
    executions = await hall.executions(2)
    assert [(one.attempt, one.outcome, one.transition, one.message, one.error_trace) for one in executions] == [
        (1, "failed", "retry", "no file came", None),
        (2, "failed", "archived", "no file came", None),
    ]


async def test_success_false_without_a_message_says_so(hall):
    class Import(Kept):
        job_id = "import"
        cron = "@daily"

        async def execute(self) -> dict[str, Any]:
            return {"success": False}

    open_worker(hall)
    with pytest.raises(JobFailedError, match="it returned success = False, and no message"):
        await hall.result(await fire(hall, "import"))


@pytest.mark.parametrize("returned", [None, 5, {"count": 3}, {"success": "no"}, {"success": 0}, ["message"]])
async def test_what_is_no_such_answer_is_the_result_as_it_is(hall, returned):
    class Import(Kept):
        job_id = "import"
        cron = "@daily"

        async def execute(self) -> Any:
            return returned

    open_worker(hall, records=True)
    assert await hall.result(await fire(hall, "import")) == returned
    [execution] = await hall.executions(1)
    assert (execution.message, execution.result_data) == (None, returned)


async def test_a_message_that_the_ledger_does_not_show_is_not_shown_as_the_executions_either(hall):
    class Import(Kept):
        job_id = "import"
        cron = "@daily"

        async def execute(self) -> Any:
            return {"success": True, "message": "the key is s3cret"}

    open_worker(hall, records=True, redact=["message"])
    await hall.result(await fire(hall, "import"))
    [execution] = await hall.executions(1)
    assert (execution.message, execution.result_data["message"]) == ("[redacted]", "[redacted]")


async def test_there_is_one_instance_in_a_process_made_when_it_first_runs(hall):
    class Counter(Kept):
        job_id = "counter"
        cron = "@daily"
        made = 0

        def __init__(self) -> None:
            type(self).made += 1
            self.runs = 0

        async def execute(self) -> int:
            self.runs += 1
            return self.runs

    open_worker(hall)
    assert Counter.made == 0
    runs = [await hall.result(await hall.client.enqueue("counter")) for _ in range(3)]
    assert (runs, Counter.made) == ([1, 2, 3], 1)


async def test_the_database_is_at_hand_in_a_transaction_that_commits_or_rolls_back(hall, db):
    class Book(Kept):
        job_id = "book"
        cron = "@daily"

        async def execute(self) -> dict[str, Any]:
            async with db_context() as conn:
                await conn.execute("INSERT INTO seats VALUES ('12A', 1)")
            async with db_context() as conn:
                await conn.execute("INSERT INTO seats VALUES ('12B', 1)")
                raise LookupError("no such flight")
            return {"success": True}

    open_worker(hall, db=db)
    with pytest.raises(JobFailedError, match="no such flight"):
        await hall.result(await fire(hall, "book"))
    assert [row["name"] for row in await db.fetch("SELECT name FROM seats")] == ["12A"]


async def test_without_a_database_the_job_is_told_what_to_set_and_not_run_again(hall):
    class Book(Kept):
        job_id = "book"
        cron = "@daily"
        max_retries = 5

        async def execute(self) -> None:
            async with db_context():
                pass

    open_worker(hall)
    reference = await fire(hall, "book")
    with pytest.raises(
        JobFailedError, match="no address for Postgres: set JOBSD_DATABASE_URL for the daemon"
    ) as caught:
        await hall.result(reference)
    assert caught.value.error_type == NotConfiguredError.__name__
    assert await reference.status() is JobState.ARCHIVED


async def test_outside_of_a_job_there_is_no_database():
    with pytest.raises(OutsideJobError, match=r"db_context\(\) is for the inside of a job, and none runs here"):
        async with db_context():
            pass


def test_a_second_job_of_one_id_is_refused_and_both_are_named():
    class First(Kept):
        job_id = "import"
        cron = "@daily"

        async def execute(self) -> None: ...

    with pytest.raises(
        TaskDefinitionError, match=r"task 'import': defined twice: .*First.execute and .*Second.execute"
    ):

        class Second(Kept):
            job_id = "import"
            cron = "@daily"

            async def execute(self) -> None: ...

    with pytest.raises(TaskDefinitionError, match=r"defined twice: .*First.execute and .*Heir.execute"):

        class Heir(First):  # its id is the first one's
            pass


def test_a_base_without_an_id_declares_nothing():
    class Base(BaseScheduledJob):
        cron = "@daily"

    assert definition.registry == declared.registry == {}
    assert Base.job_id is None


async def _executed(self: Any) -> None: ...


async def _wants(self: Any, day: int) -> None: ...


def _plain(self: Any) -> None: ...


def _made_of(self: Any, repository: object) -> None: ...


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"cron": None}, "cron: a job has one of cron and interval_seconds"),
        ({"interval_seconds": 60}, "cron: a job has one of cron and interval_seconds, not both"),
        ({"cron": "0 25 * * *"}, "cron: '0 25 * * *', characters 3 to 4: hour '25' is over 23"),
        ({"cron": None, "interval_seconds": 0}, "interval_seconds: 0 is not a number of whole seconds, 1 or more"),
        (
            {"cron": None, "interval_seconds": "60"},
            "interval_seconds: '60' is not a number of whole seconds, 1 or more",
        ),
        ({"job_id": "a b"}, "job_id: 'a b' is no name for a schedule"),
        ({"max_retries": -1}, "max_retries: -1 is not a whole number, 0 to 1,000"),
        ({"retry_delay_seconds": "1m"}, "retry_delay_seconds: '1m' is not a number of seconds"),
        ({"zone": "Asia/Jakart"}, "zone: 'Asia/Jakart' is not the name of a time zone; did you mean \"Asia/Jakarta\"?"),
        ({"overlap": "no"}, "overlap: 'no' is not one of"),
        ({"execute": _plain}, "execute: it is not async; write async def execute(self)"),
        ({"timezone": "Asia/Jakarta"}, "timezone: it means nothing here; did you mean zone?"),
        ({"max_retires": 3}, "max_retires: it means nothing here; did you mean max_retries?"),
        ({"execute": BaseScheduledJob.execute}, "execute: what it does is missing: async def execute(self)"),
        ({"execute": _wants}, "execute: it is called without arguments, and needs day"),
        ({"__init__": _made_of}, "__init__: the job is made without arguments, and needs repository"),
    ],
)
def test_a_class_that_is_wrong_is_refused_in_its_own_words(facts, said):
    usual = {"job_id": "import", "cron": "@daily", "execute": _executed, "__module__": __name__}
    with pytest.raises(ScheduleDefinitionError) as caught:
        type("Import", (BaseScheduledJob,), usual | facts)
    assert said in str(caught.value)
    assert str(caught.value).endswith(f"({__name__}.Import)")


# --- what any job of a schedule knows --------------------------------------------------------------


async def test_a_job_knows_its_schedule_and_its_due_time_and_its_record_does(hall):
    seen = []

    async def looks(ctx) -> None:
        seen.append((ctx.schedule, ctx.due_at))

    def looks_too(ctx) -> None:
        seen.append((ctx.schedule, ctx.due_at))

    hall.open(looks, looks_too, records=True)
    for name in ("looks", "looks_too"):
        schedule = declared.schedule_of(f"of-{name}", {"task": name, "at": "@daily"}, source="code")
        job = job_of(schedule, NINE, NINE, outbox=False)
        await hall.result(hall.client._reference(job, await hall.client._sending.store(job)))
    await hall.result(await hall.client.enqueue("looks"))
    assert [(name, at and at.isoformat()) for name, at in seen] == [
        ("of-looks", "2025-11-25T09:00:00+00:00"),
        ("of-looks_too", "2025-11-25T09:00:00+00:00"),
        (None, None),
    ]
    assert {one.task: one.schedule_id for one in (await hall.executions(2))[:2]} == {
        "looks": "of-looks",
        "looks_too": "of-looks_too",
    }
    assert (await hall.executions(3))[2].schedule_id is None


@pytest.mark.parametrize("given", [5, ["x"], "a b", "x" * 81, "half \ud800"])
async def test_a_name_that_is_none_leaves_the_record_without_a_schedule(hall, given):
    async def works(ctx) -> None: ...

    hall.open(works, records=True)
    schedule = declared.schedule_of("x", {"task": "works", "at": "@daily"}, source="code")
    job = job_of(schedule, NINE, NINE, outbox=False)
    spelled = {"half \ud800": b'"half \\ud800"'}.get(str(given)) or str(given).replace("'", '"').encode()
    spelled = spelled if isinstance(given, list | int) or spelled.startswith(b'"') else b'"' + spelled + b'"'
    job = job._replace(payload=job.payload.replace(b'"s":"x"', b'"s":' + spelled))
    await hall.client._sending.store(job)
    async with asyncio.timeout(PATIENCE_S):
        [execution] = await hall.executions(1)
    assert execution.schedule_id is None
