from __future__ import annotations

import json
import os
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from jobsd import __version__, cli
from jobsd.cli.config import config
from jobsd.daemon.settings import Settings

app = typer.Typer()
app.command()(config)


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    for name in os.environ:
        if name.startswith(("JOBSD_", "REDIS_")) or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    Path("jobsd.toml").write_text(
        """
        tasks = ["tasks", "shop.tasks"]
        database_url = "postgresql://app:hunter2@db.internal/shop?password=hunter2"
        [worker]
        timeout = "2m"
        [queues]
        mails = 3
        """
    )


def run(*arguments: str, **env: str):
    return CliRunner().invoke(app, list(arguments), env=env)


def test_people_see_each_setting_with_its_value_and_where_it_comes_from():
    result = run(REDIS_HOST="cache", REDIS_PASSWORD="hunter2", JOBSD_WORKER__CONCURRENCY="1000")  # noqa: S106
    lines = [re.sub(r" +", " ", line).rstrip() for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert lines[0] == "jobsd.toml"
    for line in (
        "tasks tasks, shop.tasks jobsd.toml",
        "timezone UTC default",
        "redis_url redis://:***@cache:6379/0 REDIS_HOST",
        "redis_enable true default",
        "state - default",
        "worker",
        " concurrency 1,000 JOBSD_WORKER__CONCURRENCY",
        " timeout 2m jobsd.toml",
        " mails.weight 3 jobsd.toml",
    ):
        assert line in lines


def test_the_version_is_said():
    ended = CliRunner().invoke(cli.app, ["--version"])
    assert (ended.exit_code, ended.stdout) == (0, f"jobsd {__version__}\n")
    assert __version__ == version("jobsd")


def test_without_a_file_it_is_said_where_one_was_looked_for():
    Path("jobsd.toml").unlink()
    assert run().stdout.startswith("no settings file (looked for jobsd.toml and config/jobsd.toml)\n")


def test_a_named_file_is_read():
    Path("other.toml").write_text("timezone = 'Asia/Jakarta'")
    shown = json.loads(run("--json", "-c", "other.toml").stdout)
    assert shown["timezone"] == {"value": "Asia/Jakarta", "origin": "other.toml"}


def test_programs_get_json_with_every_setting():
    shown = json.loads(run("--json", REDIS_HOST="cache").stdout)
    assert {key.partition(".")[0] for key in shown} == set(Settings.model_fields)
    assert shown["tasks"] == {"value": ["tasks", "shop.tasks"], "origin": "jobsd.toml"}
    assert shown["redis_url"] == {"value": "redis://cache:6379/0", "origin": "environment REDIS_HOST"}
    assert shown["worker.timeout"] == {"value": "2m", "origin": "jobsd.toml"}
    assert shown["worker.concurrency"] == {"value": 100, "origin": "default"}
    assert shown["state"] == {"value": None, "origin": "default"}


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_no_secret_is_printed(arguments):
    result = run(*arguments, JOBSD_REDIS_URL="redis://:hunter2@cache")
    assert result.exit_code == 0
    assert "hunter2" not in result.output
    assert "postgresql://app:***@db.internal/shop?password=***" in result.output


def test_wrong_settings_end_with_2_and_a_message_on_stderr():
    result = run("--json", JOBSD_REDIS_URL="http://:hunter2@cache", JOBSD_WORKER__CONCURENCY="1")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "hunter2" not in result.stderr
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()] == [
        "environment JOBSD_REDIS_URL",
        "environment JOBSD_WORKER__CONCURENCY",
    ]


def test_a_missing_file_ends_with_2():
    result = run("--config", "gone.toml")
    assert (result.exit_code, result.stderr) == (2, "gone.toml: no such file; it is named by --config\n")


def test_eighty_columns_hold_every_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = run(JOBSD_WORKER__KEEP_COMPLETED_COUNT="5", JOBSD_REDIS_URL="redis://a-rather-long-name.of.a.host:6379/0")
    lines = [re.sub(r"\033\[[\d;]*m", "", line).rstrip() for line in result.stdout.splitlines()]
    assert max(map(len, lines)) <= 80
    # An origin is never torn apart.
    assert any(line.endswith("JOBSD_WORKER__KEEP_COMPLETED_COUNT") for line in lines)
    assert any(line.endswith("JOBSD_REDIS_URL") for line in lines)
