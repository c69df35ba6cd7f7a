"""[cron.NAME]: schedules in the settings."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from jobsd.daemon.cron_options import CronOptions
from jobsd.daemon.settings import load_settings
from jobsd.errors import SettingsError
from jobsd.schedule.options import OPTIONS, schedule_of

SAMPLE = Path(__file__).parents[2] / "config/jobsd.toml"
CALLABLE = 'a callable by its name, "module:function", such as "shop.days:is_holiday"'
DURATION = 'a duration such as "500ms", "30s", "5m", "1h30m", "2d"'
INSTANT = "is not an instant with its zone, such as 2026-11-30T09:00:00+07:00"


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path) -> None:
    for name in os.environ:
        if name.startswith(("JOBSD_", "REDIS_")) or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def toml(text: str) -> None:
    Path("jobsd.toml").write_text(text)


def problems(text: str) -> list[str]:
    toml(text)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return [problem.removeprefix("jobsd.toml: ") for problem in caught.value.problems]


def test_the_options_are_those_of_every_schedule():
    assert tuple(CronOptions.model_fields) == OPTIONS


def test_a_schedule_is_what_is_written_and_no_more():
    toml("""
        [cron.daily-cleanup]
        task = "cleanup:old_files"
        at = "0 2 * * *"
        args = { older_than = "30d", deep = { n = 1 } }
        start = 2026-12-01T00:00:00+07:00
        missed = "all"
        [cron."reports:weekly"]
        task = "reports:weekly"
        every = "1h30m"
        args = [1, "b"]
        """)
    loaded = load_settings()
    cleanup, reports = loaded.settings.cron.values()
    assert schedule_of("x", cleanup.written(), source="config").kwargs == {"older_than": "30d", "deep": {"n": 1}}
    assert reports.written() == {"task": "reports:weekly", "every": "1h30m", "args": [1, "b"]}
    shown = {key: value for key, value in loaded.values().items() if key.startswith("cron.")}
    assert shown == {
        "cron.daily-cleanup.task": "cleanup:old_files",
        "cron.daily-cleanup.at": "0 2 * * *",
        "cron.daily-cleanup.args.older_than": "30d",
        "cron.daily-cleanup.args.deep.n": 1,
        "cron.daily-cleanup.start": "2026-12-01T00:00:00+07:00",
        "cron.daily-cleanup.missed": "all",
        'cron."reports:weekly".task': "reports:weekly",
        'cron."reports:weekly".every': "1h30m",
        'cron."reports:weekly".args': [1, "b"],
    }
    assert loaded.origins["cron.daily-cleanup.at"] == "jobsd.toml"


def test_variables_change_a_schedule_and_declare_one(monkeypatch):
    toml('[cron.nightly]\ntask = "a"\nat = "0 2 * * *"')
    for name, text in {
        "NIGHTLY__ENABLED": "false",
        "NIGHTLY__MAX_RUNS": "3",
        "HOURLY__TASK": "b",
        "HOURLY__AT": "0 0 * * * *",
        "HOURLY__SECONDS": "true",
        "HOURLY__START": "2026-12-01T00:00:00+07:00",
    }.items():
        monkeypatch.setenv(f"JOBSD_CRON__{name}", text)
    cron = load_settings().settings.cron
    assert (cron["nightly"].at, cron["nightly"].enabled, cron["nightly"].max_runs) == ("0 2 * * *", False, 3)
    assert schedule_of("x", cron["hourly"].written(), source="config").seconds
    monkeypatch.setenv("JOBSD_CRON__HOURLY__OVERLAP", "no")
    with pytest.raises(SettingsError) as caught:  # its six fields are right also beside something wrong
        load_settings()
    assert caught.value.problems == [
        'environment JOBSD_CRON__HOURLY__OVERLAP: cron.hourly.overlap: "no" is not one of "allow", "skip", "queue"'
    ]


def test_all_that_is_wrong_is_said_at_once_with_its_place():
    assert problems("""
        timezone = "Asia/Jakarta"
        [cron.nightly]
        task = "x"
        at = "0 25 * * *"
        zone = "Asia/Jakart"
        [cron."bad name"]
        task = "x"
        at = "0 2 * * *"
        timout = "3"
        [cron.a]
        at = 2026-01-01T00:00:00
        args = 5
        start = 2026-01-01
        max_runs = true
        retries = "many"
        [cron.b]
        task = "x"
        at = "0 0 1 1 1 *"
        every = "1h"
        [cron.c]
        task = "x"
        every = "1 fortnight"
        start = 2026-01-02T00:00:00Z
        end = 2026-01-01T00:00:00Z
        overlap = "allways"
        holidays = "is_holiday"
        [cron.d]
        [cron]
        f = 5
        """) == [
        'cron.nightly.zone: "Asia/Jakart" is not the name of a time zone; did you mean "Asia/Jakarta"?',
        'cron."bad name": is no name for a schedule; allowed are 1 to 80 of A-Z a-z 0-9 . _ : -',
        'cron."bad name".timout: unknown key; did you mean "timeout"?',
        f"cron.a.at: 2026-01-01T00:00:00 {INSTANT}",
        "cron.a.args: 5 is neither a table of arguments by name nor a list of them",
        'cron.a.retries: "many" is not a whole number',
        f"cron.a.start: 2026-01-01 {INSTANT}",
        f'cron.c.every: "1 fortnight" is not {DURATION}',
        'cron.c.overlap: "allways" is not one of "allow", "skip", "queue"; did you mean "allow"?',
        f'cron.c.holidays: "is_holiday" is not {CALLABLE}',
        "cron.f: 5 is not a table",
        "cron.a.max_runs: true is not a whole number",
        "cron.nightly.at: \"0 25 * * *\", characters 3 to 4: hour '25' is over 23; 0 to 23 are allowed",
        "cron.a.task: it is missing: the name of the task that is run",
        "cron.b.every: at is given as well; a schedule has one of the two",
        "cron.c.end: 2026-01-01T00:00:00+00:00 is not after start, 2026-01-02T00:00:00+00:00",
        "cron.d.task: it is missing: the name of the task that is run",
        'cron.d.at: when it is due is missing: at = "0 2 * * *", or every = "1h30m"',
    ]


@pytest.mark.parametrize("word", ["cron", "schedule", "crontab", "expression", "when"])
def test_the_words_of_others_are_understood_and_nothing_is_missing_besides(word, monkeypatch):
    text = f'[cron.x]\ntask = "x"\n{word} = "0 2 * * *"'
    assert problems(text) == [f'cron.x.{word}: unknown key; did you mean "at"?']
    Path("jobsd.toml").unlink()
    monkeypatch.setenv("JOBSD_CRON__X__TASK", "x")
    monkeypatch.setenv(f"JOBSD_CRON__X__{word.upper()}", "0 2 * * *")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.problems == [
        f"environment JOBSD_CRON__X__{word.upper()}: cron.x.{word}: unknown key; did you mean JOBSD_CRON__X__AT?"
    ]


def test_the_sample_shows_every_option_of_a_schedule():
    _, _, after = SAMPLE.read_text().partition("#   [cron.daily-cleanup]\n")
    shown = [line for line in after.partition("\n\n")[0].splitlines() if re.match(r"#   \w+ = ", line)]
    written = tomllib.loads("\n".join(line.removeprefix("#   ") for line in shown))
    assert tuple(written) == OPTIONS
    one = written | {"at": "0 0 2 * * *"}
    del one["every"]
    assert schedule_of("daily-cleanup", one, source="config").missed == "once"
    assert re.search(r"^# `jobsd cron check", SAMPLE.read_text(), re.MULTILINE)
