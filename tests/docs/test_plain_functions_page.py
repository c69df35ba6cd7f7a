"""docs/plain-functions.md: what its reader types runs, and the numbers it gives are those of the code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from jobsd.context import PlainContext
from jobsd.engine import threads
from jobsd.engine.children import pool
from jobsd.engine.options import WorkerOptions
from tests.docs.pages import ROOT, served

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "plain-functions.md").read_text("utf-8")


@pytest.mark.slow
def test_what_the_reader_types_answers_as_shown(tmp_path: Path, redis_url: str, database_url: str) -> None:
    with served(PAGE, tmp_path, redis_url, database_url) as session:
        session.walk()
        log = (tmp_path / "log").read_text()
    assert re.search(
        r'"event": "picture.resized".*"task": "picture:resize"|"task": "picture:resize".*"picture.resized"', log
    )


def test_numbers_in_the_text_are_those_of_the_code() -> None:
    assert pool._IDLE_S == 60
    assert "idle for a minute" in PAGE
    assert f"grown by more than {pool._GROWN_BYTES // 1024**2} MB" in PAGE
    assert (pool._SHARE_OF_SUSPECTS, pool._ALONE_AFTER, WorkerOptions().max_losses) == (4, 2, 3)
    assert "a quarter of the machine's memory" in PAGE
    assert threads._SWITCH_S == 0.0005
    assert "every half millisecond" in PAGE


def test_the_table_names_what_a_plain_context_has() -> None:
    rows = re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)", row)} - {"def", "async", "PlainContext"}
    has = {name for name in dir(PlainContext) if not name.startswith("_")} - set(dir(dict))
    assert has - told == {"db", "redis", "task"}
    assert told <= has
