"""docs/middleware.md: what its reader types runs, and the numbers it gives are those of the code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from jobsd import headers
from jobsd.engine import dependencies
from tests.docs.pages import ROOT, blocks, served

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "middleware.md").read_text("utf-8")


@pytest.mark.slow
def test_what_the_reader_types_answers_as_shown(tmp_path: Path, redis_url: str, database_url: str) -> None:
    with served(PAGE, tmp_path, redis_url, database_url) as session:
        session.walk()
        for block in blocks(PAGE, "python"):
            if block.name:
                assert not session.run([block.name])
        log = (tmp_path / "log").read_text()
    timed = next(line for line in log.splitlines() if "shop.timed" in line)
    assert re.search(r'"task": "card:charge".*"request_id": "r-1", "tenant": "acme"', timed)
    assert "dependency.unclosed" not in log


def test_numbers_in_the_text_are_those_of_the_code():
    assert f"{headers.LIMIT_BYTES // 1024} KiB at most" in PAGE
    assert f"baggage over {headers._LONGEST_TRACING // 1024} KiB" in PAGE
    assert f"not within {dependencies._LIMIT_S:g} s" in PAGE
