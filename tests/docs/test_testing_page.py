"""docs/testing.md: its files are a project whose tests pass, and the newcomer's needs no server."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

import jobsd.testing
from jobsd.errors import NotRunError
from jobsd.testing import plugin, run
from tests.docs.pages import ROOT, blocks
from tests.testing.test_plugin import pytest_in

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "testing.md").read_text("utf-8")
FILES = {block.name: block.source for block in blocks(PAGE, "python")}
SERVICE = ("my_tasks.py", "service.py")
NEWCOMER = "test_sign_up.py"
# The scope is what pytest-asyncio warns of, as long as nobody says it; here warnings are errors.
PLAIN = ("-p", "no:valkey", "-o", "asyncio_default_fixture_loop_scope=function")
READERS_REDIS = '"redis://localhost:6379/15"'


def write(folder: Path, *names: str, redis_url: str | None = None) -> None:
    for name in names:
        source = FILES[name].partition("\n")[2]  # without the name
        if redis_url is not None:
            source = source.replace(READERS_REDIS, repr(redis_url))
        (folder / name).write_text(source, "utf-8")


def test_every_block_is_a_file() -> None:
    assert None not in FILES
    assert {NEWCOMER, *SERVICE, "conftest.py"} < set(FILES)


def test_the_newcomers_file_has_twenty_lines_at_the_most() -> None:
    assert len(FILES[NEWCOMER].splitlines()) - 1 <= 20


def test_the_newcomers_tests_pass_without_any_server(tmp_path: Path) -> None:
    write(tmp_path, *SERVICE, NEWCOMER)
    said = pytest_in(tmp_path, *PLAIN)
    assert re.search(r"=+ 2 passed in ", said), said


def test_they_fail_when_the_service_is_wrong(tmp_path: Path) -> None:
    write(tmp_path, *SERVICE, NEWCOMER)
    service = tmp_path / "service.py"
    service.write_text(service.read_text("utf-8").replace('subject="Welcome"', 'subject="Hello"'), "utf-8")
    said = pytest_in(tmp_path, *PLAIN)
    assert re.search(r"=+ 1 failed, 1 passed in ", said), said
    assert "argument subject: captured was 'Hello', expected 'Welcome'" in said


def test_all_other_files_pass_on_the_readers_own_redis(tmp_path: Path, redis_url: str) -> None:
    names = sorted(set(FILES) - {NEWCOMER, *SERVICE})
    write(tmp_path, *names, redis_url=redis_url)
    said = pytest_in(tmp_path, *PLAIN)
    assert re.search(rf"=+ {len(names) - 1} passed in ", said), said


def test_the_tables_and_names_are_those_of_the_code() -> None:
    tables = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    fixtures = {name for name in vars(plugin) if name.startswith("jobsd_")}
    given = set(inspect.signature(run.given).parameters)
    assert tables == fixtures | given
    assert {"run", "capture", "worker", "movable_clock", "overridden"} <= set(jobsd.testing.__all__)
    assert NotRunError.__name__ in PAGE
