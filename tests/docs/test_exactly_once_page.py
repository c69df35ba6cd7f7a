"""docs/exactly-once.md: what its reader types answers as shown, and the numbers it gives are those of the code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import asyncpg
import pytest

from jobsd.records import once
from jobsd.relay import outbox
from tests.docs.pages import ROOT, blocks, served

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "exactly-once.md").read_text("utf-8")


@pytest.mark.slow
async def test_what_the_reader_types_answers_as_shown(tmp_path: Path, redis_url: str, database_url: str) -> None:
    first, *others = [block.source for block in blocks(PAGE, "sql")]
    conn = await asyncpg.connect(database_url)
    try:
        await conn.execute(first)
        with served(PAGE, tmp_path, redis_url, database_url) as session:
            session.walk()
            for source in others:
                await conn.execute("DO $$ BEGIN IF to_regrole('shop') IS NULL THEN CREATE ROLE shop; END IF; END $$")
                await conn.execute(source)
        assert await conn.fetchval("SELECT count(*) FROM orders WHERE state IN ('reserved', 'sent', 'packed')") == 4
        assert await conn.fetchval("SELECT queue FROM jobsd.outbox WHERE job_id = 'ship-1'") == "default"
        await conn.execute("DROP OWNED BY shop")
    finally:
        await conn.close()


def test_numbers_in_the_text_are_those_of_the_code() -> None:
    assert outbox.POLL_S == 1.0
    assert once.SETTLED_WITHIN_S == 30.0
    assert "within a second" in PAGE
    assert re.search(r"stays away for\s+30 s", PAGE)
