"""jobsd queues limit: what is in effect, one limit changed at a time, and back to the configuration."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from jobsd.cli import app

BASE = "jobsd:{main}:"


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path, redis_url: str) -> None:
    for name in os.environ:
        if name.startswith(("JOBSD_", "REDIS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("JOBSD_REDIS_URL", redis_url)
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        client.sadd("jobsd:{main}::queues", BASE + "reports", BASE + "mails")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments])


def limit(*arguments: str) -> str:
    ended = run("queues", "limit", *arguments)
    assert ended.exit_code == 0, ended.output
    return ended.stdout.strip()


def test_one_limit_is_set_and_the_others_stay() -> None:
    assert limit("reports") == "reports: no limits"
    assert limit("reports", "--rate", "5/10s") == "reports: 5/10s"
    assert limit("reports", "--concurrency", "2") == "reports: 2 at a time in each process, 5/10s"
    assert limit("reports", "--global-concurrency", "4", "--per-key-concurrency", "1") == (
        "reports: 2 at a time in each process, 4 at a time, 5/10s, 1 at a time of each key"
    )
    assert limit("reports", "--rate", "none", "--concurrency", "none", "--per-key-rate", "9/m") == (
        "reports: 4 at a time, 1 at a time of each key, 9/1m of each key"
    )
    assert limit("mails") == "mails: no limits"


def test_hours_without_a_zone_are_those_of_the_settings() -> None:
    Path("jobsd.toml").write_text('timezone = "Asia/Jakarta"')
    assert limit("reports", "--hours", "22:00-6:00") == "reports: 22:00-06:00 Asia/Jakarta"
    assert limit("reports", "--hours", "22:00-06:00 UTC") == "reports: 22:00-06:00 UTC"


def test_reset_goes_back_to_what_the_configuration_says(redis_url: str) -> None:
    state = "jobsd:{main}::state"
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        for kind in ("limits-config:", "limits:"):
            client.hset(state, f"{kind}{BASE}reports", "4:::::||")
    assert limit("reports", "--rate", "5/10s") == "reports: 4 at a time, 5/10s"
    assert limit("reports", "--global-concurrency", "none") == "reports: 5/10s"
    assert limit("reports", "--reset") == "reports: 4 at a time"


def test_a_resource_has_limits_of_its_own() -> None:
    assert limit("stripe", "--resource", "--concurrency", "1", "--rate", "9/s") == "stripe: 1 at a time, 9/1s"
    assert limit("--resource", "stripe") == "stripe: 1 at a time, 9/1s"
    assert limit("--resource", "stripe", "--reset") == "stripe: no limits"


def test_programs_get_json_in_the_words_of_the_settings() -> None:
    told = json.loads(limit("reports", "--rate", "5/10s", "--concurrency", "2", "--json"))
    assert told == {"concurrency": 2, "rate": "5/10s"}
    rows = {row["queue"]: row["limits"] for row in json.loads(run("queues", "--json").stdout)}
    assert rows == {"reports": told, "mails": {}}


def test_the_list_of_queues_tells_the_limits_in_effect() -> None:
    limit("reports", "--rate", "5/10s", "--concurrency", "2")
    run("queues", "pause", "reports")
    (line,) = (line for line in run("queues").stdout.splitlines() if "reports" in line)
    assert line.rstrip().endswith("paused; 2 at a time in each process, 5/10s")


def test_a_queue_that_nobody_knows_is_refused_with_the_one_that_was_meant() -> None:
    for options in ((), ("--rate", "5/10s"), ("--reset",)):
        refused = run("queues", "limit", "reprots", *options)
        assert refused.exit_code == 2
        assert "did you mean 'reports'?" in refused.stderr
    assert limit("reports") == "reports: no limits"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--concurrency", "0"), "a whole number, 1 to 10,000, or none"),
        (("--concurrency", "many"), "a whole number, 1 to 10,000, or none"),
        (("--rate", "5"), 'a rate such as "5/10s"'),
        (("--hours", "at night"), 'hours such as "22:00-06:00"'),
        (("--resource", "--hours", "22:00-06:00"), "only concurrency and rate of a resource"),
        (("--reset", "--rate", "5/10s"), "--reset stands alone"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(options: tuple[str, ...], told: str) -> None:
    refused = run("queues", "limit", "reports", *options)
    code = getattr(refused.exception, "exit_code", None) or refused.exit_code
    assert code == 2
    assert told in refused.stderr + str(refused.exception)
    assert limit("reports") == "reports: no limits"
