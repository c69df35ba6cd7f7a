"""Expressions in words; a contributor should read words.txt with their own eyes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobsd.expressions import parse

WORDS = [re.split(" {2,}", line, maxsplit=1) for line in (Path(__file__).parent / "words.txt").read_text().splitlines()]


@pytest.mark.parametrize(("text", "words"), WORDS, ids=[text for text, _ in WORDS])
def test_an_expression_in_words(text: str, words: str) -> None:
    expression = parse(text, zone="Asia/Jakarta", seconds=len(text.split()) == 6)
    zone = "" if text.startswith("@every") else ", Asia/Jakarta"
    assert expression.words == words + zone


def test_both_days_are_told_apart_from_either() -> None:
    assert parse("0 9 1-7 * MON").words == "at 09:00 from the 1st to the 7th of the month or on Monday, UTC"
    both = parse("0 9 1-7 * MON", both_days=True)
    assert both.words == "at 09:00 from the 1st to the 7th of the month if that is Monday, UTC"


def test_once_is_told_in_the_schedule_s_zone() -> None:
    words = parse("@once 2026-11-30T09:00:00+07:00", zone="Europe/Berlin").words
    assert words == "once, at 03:00 on 30 November 2026, Europe/Berlin"
