"""Schedules beside their tasks, and on their own."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from jobsd import cron, task
from jobsd.definition import registry as tasks
from jobsd.errors import ScheduleDefinitionError
from jobsd.schedule.declared import registry, schedules_of
from jobsd.schedule.in_code import name_for
from jobsd.schedule.options import OPTIONS


def declared():
    return {one.name: one for one in schedules_of({}, tasks, zone="UTC")}


def test_the_options_are_those_of_every_schedule():
    assert set(inspect.signature(cron).parameters) - {"name", "unknown"} == set(OPTIONS)


def test_a_task_says_when_it_runs():
    @task("reports:daily", queue="low", cron="0 2 * * *")
    async def report(ctx) -> None: ...

    schedule = declared()["reports:daily"]
    assert (schedule.task, schedule.at, schedule.queue) == ("reports:daily", "0 2 * * *", "low")


def test_a_task_has_several_schedules_with_names_and_policies_of_their_own():
    @task(
        "reports:daily",
        cron=[
            cron.daily_at(10, 30),
            cron("0 2 * * *", name="night", zone="Asia/Jakarta", missed="all", args={"full": True}),
            cron(every="1h30m", name="often"),
        ],
    )
    async def report(ctx, *, full: bool = False) -> None: ...

    found = declared()
    assert {name: one.at for name, one in found.items()} == {
        "reports:daily": "30 10 * * *",
        "night": "0 2 * * *",
        "often": "@every 1h30m",
    }
    assert (found["night"].zone, found["night"].missed, found["night"].kwargs) == (
        "Asia/Jakarta",
        "all",
        {"full": True},
    )


def test_a_schedule_stands_on_its_own():
    nightly = cron("0 3 * * *", task="reports:nightly", name="nightly")

    @task("reports:nightly")
    async def report(ctx) -> None: ...

    hourly = cron("@hourly", task=report)
    assert (nightly.name, hourly.name) == ("nightly", "reports:nightly")
    assert {name: one.task for name, one in declared().items()} == {
        "nightly": "reports:nightly",
        "reports:nightly": "reports:nightly",
    }


def test_without_a_task_nothing_is_declared():
    cron("0 3 * * *", name="nightly")
    assert registry == {}


def test_a_tasks_name_is_made_a_schedules():
    @task(cron="@daily")
    async def report(ctx) -> None: ...

    [name] = declared()
    assert name == name_for(next(iter(tasks)))
    assert len(name_for("x" * 200)) == 80
    assert name_for("x" * 200) != name_for("x" * 199)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("0 25 * * *", "at: '0 25 * * *', characters 3 to 4: hour '25' is over 23"),
        ([], "cron takes an expression, cron(…), or a list of them, and [] holds none"),
        (cron("@daily", timezone="UTC"), "timezone: unknown option; did you mean 'zone'?"),
        (cron("@daily", max_retries=1), "max_retries: unknown option; did you mean 'retries'?"),
        (cron("@daily", holidays=lambda: True), "is called with the due time, and nothing else: too many pos"),
        (5, "cron takes an expression, cron(…), or a list of them, not 5"),
        (["@daily", "@hourly"], "of several schedules of a task only one can go without a name: cron(…, name=…)"),
        ([cron("@daily", name="a"), cron("@hourly", name="a")], "declared twice"),
        (cron("@daily", overlap="no"), "overlap: 'no' is not one of"),
        (cron(), "at: when it is due is missing"),
    ],
)
def test_a_wrong_one_is_refused_where_its_task_is_defined(given, said):
    with pytest.raises(ScheduleDefinitionError) as caught:

        @task("reports:daily", cron=given)
        async def report(ctx) -> None: ...

    assert said in str(caught.value)
    assert "test_in_code.test_a_wrong_one_is_refused_where_its_task_is_defined" in str(caught.value)


def test_a_wrong_one_on_its_own_is_refused_with_its_place():
    with pytest.raises(ScheduleDefinitionError, match=r"name: 'a b' is no name .* \(tests.schedule.test_in_code, line"):
        cron("@daily", task="x", name="a b")
    with pytest.raises(ScheduleDefinitionError, match="arg: unknown option; did you mean 'args'") as caught:
        cron("@daily", task="x", arg={})
    assert "(tests.schedule.test_in_code, line" in str(caught.value)


def test_one_that_is_declared_with_its_task_is_not_for_another():
    given = cron("@daily", task="a")
    with pytest.raises(ScheduleDefinitionError, match="of a task's declaration needs no task"):

        @task("b", cron=given)
        async def report(ctx) -> None: ...


def test_a_service_without_the_daemons_libraries_can_import_what_has_schedules():
    code = """
import sys
for name in ("cronsim", "asyncpg", "structlog", "arq"):
    sys.modules[name] = None
from jobsd import BaseScheduledJob, cron, db_context, task

@task("a", cron=["0 23 L * *", cron("0 0 31 1 *", name="b", zone="Asia/Jakarta")])
async def a(ctx): ...

class Daily(BaseScheduledJob):
    job_id = "daily"
    cron = "0 9 * * *"
    async def execute(self):
        async with db_context() as db: ...
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
