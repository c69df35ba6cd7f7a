"""All schedules of a daemon, from wherever they are declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobsd import cron, task
from jobsd.definition import registry
from jobsd.errors import ScheduleDefinitionError, SettingsError
from jobsd.schedule.declared import Declaration, declare, fingerprint_of, schedules_of
from tests.schedule.days import is_christmas

if TYPE_CHECKING:
    from jobsd.schedule.definition import Schedule


def all_of(config: dict[str, dict[str, Any]], zone: str = "UTC", **more: Any) -> dict[str, Schedule]:
    return {one.name: one for one in schedules_of(config, registry, zone=zone, **more)}


def problems(config: dict[str, dict[str, Any]], **more: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        all_of(config, **more)
    return caught.value.problems


@pytest.fixture(autouse=True)
def _tasks() -> None:
    @task("cleanup:old_files", queue="low")
    async def clean(ctx, older_than: str = "30d", count: int = 1) -> None: ...

    @task("reports:daily")
    async def report(ctx) -> None: ...


def test_config_and_code_are_taken_together_and_know_where_they_come_from():
    cron("0 3 * * *", task="reports:daily", name="nightly")
    found = all_of({"daily-cleanup": {"task": "cleanup:old_files", "at": "0 2 * * *"}}, zone="Asia/Jakarta")
    assert {name: one.source for name, one in found.items()} == {"daily-cleanup": "config", "nightly": "code"}
    assert {one.zone for one in found.values()} == {"Asia/Jakarta"}


def test_what_names_no_queue_goes_to_its_tasks():
    written = {"task": "cleanup:old_files", "at": "@daily"}
    found = all_of({"a": written, "b": written | {"queue": "default"}})
    assert {name: one.queue for name, one in found.items()} == {"a": "low", "b": "default"}


def test_what_others_declare_is_taken_too():
    other = Declaration("x", {"task": "reports:daily", "at": "0 1 * * 0"}, "WorkerSettings", "arq", both_days=True)
    assert all_of({}, others=[other])["x"].both_days
    assert all_of({}, others=[other])["x"].source == "arq"


def test_a_name_twice_is_an_error_that_names_both_places():
    nightly = cron("0 3 * * *", task="reports:daily", name="nightly")
    assert repr(nightly) == "<cron nightly '0 3 * * *'>"
    [problem] = problems({"nightly": {"task": "reports:daily", "at": "@daily"}})
    assert problem.startswith(f"schedule 'nightly': declared twice: [cron.nightly] and {__name__}, line ")
    assert len(problems({"nightly": {"task": "reports:dayly", "at": "@daily"}})) == 2


def test_a_name_twice_in_the_code_is_an_error_where_it_stands():
    cron("0 3 * * *", task="reports:daily", name="nightly")
    with pytest.raises(ScheduleDefinitionError) as caught:
        cron("0 3 * * *", task="reports:daily", name="nightly")
    assert str(caught.value).count(f"{__name__}, line ") == 2


def test_a_module_that_is_imported_again_declares_the_same_again():
    one = Declaration("x", {"task": "reports:daily", "at": "@daily"}, "shop, line 7")
    assert declare(one) == declare(one)
    with pytest.raises(ScheduleDefinitionError, match="declared twice: shop, line 7 and shop, line 7"):
        declare(one._replace(written={"task": "reports:daily", "at": "@hourly"}))


def test_what_could_not_run_is_refused_all_at_once():
    cron("0 3 * * *", task="reports:dayly", name="nightly")
    said = problems(
        {
            "a": {"task": "cleanup:old_file", "at": "@daily"},
            "b": {"task": "cleanup:old_files", "at": "@daily", "args": {"older": "30d"}},
            "c": {"task": "cleanup:old_files", "at": "@daily", "args": ["30d", "many"]},
            "d": {"task": "reports:daily", "at": "@daily", "holidays": "tests.schedule.days:is_cristmas"},
            "e": {"task": "reports:daily", "at": "@daily", "holidays": "tests.schedule.nowhere:is_christmas"},
            "f": {"task": "reports:daily", "at": "@daily", "holidays": "tests.schedule.days:NUMBER"},
            "g": {"task": "reports:daily", "at": "@daily", "holidays": "tests.schedule.days:is_slow"},
            "ga": {"task": "reports:daily", "at": "@daily", "holidays": "tests.schedule.days:is_closed"},
            "gb": {"task": "reports:daily", "at": "@daily", "holidays": "tests.schedule.days:in_zone"},
            "h": {"task": "quite another", "at": "@daily"},
            "i": {"task": "quite:another", "at": "@daily"},
        }
    )
    fit = "schedule {!r}: args: they do not fit the signature of 'cleanup:old_files': "
    assert said[0] == (
        "schedule 'a': task: this daemon knows no task 'cleanup:old_file'; did you mean 'cleanup:old_files'? ([cron.a])"
    )
    assert said[1] == fit.format("b") + "older is not a parameter (did you mean 'older_than'?) ([cron.b])"
    assert said[2].startswith(fit.format("c") + "count: input should be a valid integer")
    assert "there is no 'is_cristmas' in it; did you mean 'is_christmas'? ([cron.d])" in said[3]
    assert "'tests.schedule.nowhere:is_christmas': module 'tests.schedule.nowhere' cannot be imported" in said[4]
    assert "'tests.schedule.days:NUMBER' cannot be called; a function is needed that takes a datetime" in said[5]
    assert "is async; the scheduler waits for no answer" in said[6]
    assert "is called with the due time, and nothing else: too many positional arguments" in said[7]
    assert "is called with the due time, and nothing else: missing a required argument: 'zone'" in said[8]
    assert "'quite another' is no name of a task" in said[9]
    assert (
        "this daemon knows no task 'quite:another'; known are cleanup:old_files, reports:daily ([cron.i])" in said[10]
    )
    assert "did you mean 'reports:daily'?" in said[11]
    assert len(said) == 12


def test_holidays_are_found_by_their_name():
    found = all_of({"a": {"task": "reports:daily", "at": "@daily", "holidays": "tests.schedule.days:is_christmas"}})
    assert found["a"].is_holiday is is_christmas
    cron("@daily", task="reports:daily", name="b", holidays=is_christmas)
    assert all_of({})["b"] == all_of({})["b"]
    assert all_of({})["b"].holidays == "tests.schedule.days:is_christmas"
    assert all_of({})["b"].is_holiday is is_christmas


def test_the_fingerprint_is_that_of_the_set():
    def prints(*ats: str) -> str:
        return fingerprint_of(all_of({at: {"task": "reports:daily", "at": f"@{at}"} for at in ats}).values())

    assert prints("daily", "weekly") == prints("weekly", "daily")
    assert prints("daily") != prints("daily", "weekly")
