"""docs/schedules.md: what its reader types answers as shown, and the numbers it gives are those of the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.schedule import decide
from jobsd.schedule.definition import Schedule
from jobsd.scheduler import scheduler
from tests.docs.pages import ROOT, served

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "schedules.md").read_text("utf-8")


@pytest.mark.slow
def test_what_the_reader_types_answers_as_shown(tmp_path: Path, redis_url: str, database_url: str) -> None:
    with served(PAGE, tmp_path, redis_url, database_url) as session:
        session.walk()


def test_numbers_in_the_text_are_those_of_the_code() -> None:
    schedule = Schedule(name="x", task="x", at="@daily")
    assert decide.LATE_MS == 60_000
    assert scheduler._PATIENCE_MS == 2000
    assert f"`missed_limit` ({schedule.missed_limit})" in PAGE
    assert f"`missed_window` ({schedule.missed_window_ms // 3_600_000} h" in PAGE
