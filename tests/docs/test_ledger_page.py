"""docs/ledger.md: what its reader types answers as shown, and the numbers it gives are those of the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.daemon.record_options import RecordOptions
from jobsd.duration import format_duration
from jobsd.engine import endings, texts
from jobsd.relay import intake
from jobsd.store.backlog import limit_of
from tests.docs.pages import ROOT, served

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "ledger.md").read_text("utf-8")


@pytest.mark.slow
def test_what_the_reader_types_answers_as_shown(tmp_path: Path, redis_url: str, database_url: str) -> None:
    with served(PAGE, tmp_path, redis_url, database_url) as session:
        session.walk()


def test_numbers_in_the_text_are_those_of_the_code() -> None:
    options = RecordOptions()
    assert (format_duration(options.keep), options.backlog) == ("90d", "25%")
    assert limit_of(options.backlog, 0) == 512 * 1024 * 1024
    for name in options.redact:
        assert f"`{name}`" in PAGE, name
    limits = (endings.LEDGER_LIMIT, texts.TRACE_LIMIT, texts.MESSAGE_LIMIT)
    assert [limit // 1024 for limit in limits] == [64, 16, 2]
    assert intake.SILENT_MS == 20_000
