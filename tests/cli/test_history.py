"""jobsd history: what it prints for people and for programs, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from jobsd.cli import app
from jobsd.records.writing import write, write_as_sent
from tests.records.ledger import NOON_MS, a_ledger, a_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

SINCE = ("--since", "2026-11-22T00:00+00:00")
FAILED = {"outcome": "failed", "transition": "retry", "error_type": "E", "fingerprint": "ab12" * 4}


@pytest.fixture
def run(monkeypatch, tmp_path, ledger_url) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBSD_REDIS_URL", "unix:///nowhere")
    monkeypatch.setenv("JOBSD_DATABASE_URL", ledger_url)
    return lambda *words: CliRunner().invoke(app, ["history", *words], catch_exceptions=False)


async def fill(ledger_url: str, *records: Any) -> None:
    async with a_ledger(ledger_url) as pool:
        await write(pool, records)


async def in_thread(run: Callable[..., Result], *words: str) -> Result:
    return await asyncio.to_thread(run, *words)


async def test_a_message_is_text_and_neither_markup_nor_orders_for_the_terminal(run, ledger_url):
    message = "no [bold]markup[/b] \x1b]0;owned\x07\x1b[2J \u202e :smile:"
    await fill(ledger_url, a_record(message=message, error_trace=message + "\nmore", **FAILED))
    for words in ((), ("show", "job-1"), ("errors",)):
        said = (await in_thread(run, *words)).output
        assert "no [bold]markup[/b] \\x1b]0;owned\\x07\\x1b[2J \\u202e :smile:" in said, words
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", said), words


async def test_a_long_message_of_many_lines_takes_one_line_of_a_table(run, ledger_url):
    await fill(ledger_url, a_record(message="first\n" + "second " * 500, **FAILED))
    said = (await in_thread(run, "errors")).output
    assert "first …" in said
    assert "second" not in said


async def test_programs_get_json_whatever_numbers_a_result_has(run, ledger_url):
    async with a_ledger(ledger_url) as pool:
        value = a_record(result_data="HERE").raw.replace(b'"HERE"', b"[1e400, -1e400, " + b"9" * 5000 + b"]")
        assert await write_as_sent(pool, [value]) == 1
    said = (await in_thread(run, "show", "job-1", "--json")).output
    [execution] = json.loads(said, parse_constant=pytest.fail)
    assert execution["result_data"] == [10**400, -(10**400), "inf"]
    assert execution["started_at"] == "2026-11-22T12:00:00+00:00"


async def test_a_program_pages_to_the_end_by_what_each_page_says(run, ledger_url):
    await fill(ledger_url, *(a_record(job_id=f"j{n}", started_at=NOON_MS + n // 3) for n in range(11)))
    seen, more = [], []
    while True:
        page = json.loads((await in_thread(run, "-n", "4", "--json", *more)).output)
        seen += [execution["job_id"] for execution in page["executions"]]
        if page["more"] is None:
            break
        more = ["--after", page["more"]]
    assert sorted(seen) == sorted(f"j{n}" for n in range(11))


async def test_people_are_told_how_to_go_on(run, ledger_url):
    await fill(ledger_url, *(a_record(job_id=f"j{n}") for n in range(3)))
    answer = await in_thread(run, "-n", "2")
    [place] = re.findall(r"there are more: --after (\S+)", answer.stderr)
    assert "j0" in (await in_thread(run, "--after", place)).output


async def test_sums_by_hour_for_people_and_for_programs(run, ledger_url):
    await fill(ledger_url, a_record(), a_record(job_id="b", **FAILED))
    said = (await in_thread(run, "stats", "--by", "hour", *SINCE)).output
    assert re.search(r"2026-11-2\d \d\d:00 +email:send +2 +1 +1 +1 ", said)
    [hour] = json.loads((await in_thread(run, "stats", "--by", "hour", "--json", *SINCE)).output)
    assert (hour["at"], hour["runs"], hour["failures"]) == ("2026-11-22T12:00:00+00:00", 2, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--outcome", "nope"], "'nope' is not one of 'succeeded', 'failed'"),
        (["--since", "yesterday"], "'yesterday' is neither how long ago"),
        (["--after", "x"], "'x' is no place in the history"),
        (["--after", "2026-01-01T00:00:00+00:00,99999999999999999999"], "is no place in the history"),
        (["--after", "0001-01-01T00:00:00+23:00,1"], "invalid input"),
        (["--task", "\udcff"], "invalid input"),
        (["show", "\udcff"], "invalid input"),
        (["--limit", "0"], "greater than or equal to 1"),
        (["--task", "a", "stats"], "put it behind 'stats', if that has it"),
        (["--json", "errors"], "put it behind 'errors', if that has it"),
    ],
)
async def test_what_cannot_be_asked_is_wrong_usage(words, said, run, ledger_url):
    await fill(ledger_url)
    answer = await in_thread(run, *words)
    assert answer.exit_code == 2, answer.output
    assert said in " ".join(re.sub("[│╭╮╰╯─]", " ", answer.output + answer.stderr).split())


@pytest.mark.parametrize(
    ("since", "until", "runs"),
    [
        ("0001-01-01T00:00+00:00", "9999-12-31T23:59-11:00", 1),
        ("9999-12-31T23:59-11:00", "9999-12-31T23:59-11:00", 0),
        ("2026-11-23T00:00Z", "2026-11-22T00:00Z", 0),
    ],
)
async def test_there_are_sums_of_all_times_that_people_can_write(since, until, runs, run, ledger_url):
    await fill(ledger_url, a_record())
    found = json.loads((await in_thread(run, "stats", "--json", "--since", since, "--until", until)).output)
    assert sum(one["runs"] for one in found) == runs


async def test_a_job_of_which_nothing_is_recorded_is_said_by_the_exit_code(run, ledger_url):
    await fill(ledger_url)
    assert (await in_thread(run, "show", "nobody")).exit_code == 1
    assert (await in_thread(run, "--job", "nobody")).exit_code == 0
