from __future__ import annotations

import contextlib
import json
import os

import pytest
import redis
import typer
from typer.testing import CliRunner

from jobsd.cli.enqueue import enqueue
from jobsd.errors import InvalidOptionError

app = typer.Typer()
app.command()(enqueue)


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path, redis_url: str) -> None:
    for name in os.environ:
        if name.startswith(("JOBSD_", "REDIS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("JOBSD_REDIS_URL", redis_url)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_a_job_with_a_limit_key_carries_it(redis_url: str) -> None:
    ended = run("add", "a=1", "--limit-key", "acme", "--json")
    told = json.loads(ended.stdout)
    assert (ended.exit_code, told["duplicate"]) == (0, False)
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        assert json.loads(client.get(f"arq:job:{told['id']}"))["l"] == "k=acme"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--unique-for", "1h"), "a job with this key exists already; nothing was stored"),
        (("--unique-for", "1h", "--unique-key", "mine"), "a job with this key exists already; nothing was stored"),
        (("--id", "mine"), "a job with this id exists already; nothing was stored"),
    ],
    ids=str,
)
def test_a_duplicate_is_said_with_the_id_of_the_job_that_is_there(options: tuple[str, ...], told: str) -> None:
    first, second = run("add", "a=1", *options), run("add", "a=1", *options)
    assert (first.exit_code, first.stderr) == (0, "")
    assert second.exit_code == 0
    assert second.stdout == first.stdout
    assert told in second.stderr


def test_an_option_that_makes_no_sense_is_refused() -> None:
    refused = run("add", "--unique-key", "mine").exception
    assert isinstance(refused, InvalidOptionError)
    assert "only beside one of unique_for" in str(refused)
