"""Limits as text, and what a change leaves alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.rate import Rate
from jobsd.store.limits import Limits, changes

_counts = st.none() | st.integers(1, 10_000)
_rates = st.none() | st.builds(Rate, st.integers(1, 100_000), st.integers(10, 86_400_000))
_hours = st.sampled_from(["", "22:00-06:00 Asia/Jakarta", "22:00-06:00,12:00-13:00 UTC"])


@given(st.builds(Limits, _counts, _rates, _counts, _rates, _counts, _hours))
def test_what_is_written_is_read_again(limits: Limits) -> None:
    assert Limits.from_text(limits.to_text()) == limits


def test_each_limit_has_its_place_and_the_scripts_read_the_first_six() -> None:
    limits = Limits(1, Rate(5, 10_000), 2, Rate(6, 60_000), 3, "22:00-06:00 UTC")
    assert limits.to_text() == "1:5:10000:2:6:60000|3|22:00-06:00 UTC"
    assert Limits(rate=Rate(5, 10_000)).to_text() == ":5:10000:::||"


def test_no_limits_are_no_text() -> None:
    assert Limits().to_text() == ""
    assert Limits.from_text("") == Limits.from_text(":::::||") == Limits()
    assert not Limits()


@pytest.mark.parametrize("text", ["x", "1:2:3", "a:::::||", ":5::::||", ":::::|", ":::::|x|"])
def test_what_is_no_limits_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whoever reads it says what it means
        Limits.from_text(text)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "*:*:*:*:*:*|*|*"),
        ({"concurrency": 4}, "4:*:*:*:*:*|*|*"),
        ({"concurrency": None, "rate": None}, "::" + ":*:*:*|*|*"),
        ({"key_concurrency": 1, "key_rate": Rate(1, 1000)}, "*:*:*:1:1:1000|*|*"),
        ({"process_concurrency": 2, "hours": "22:00-06:00 UTC"}, "*:*:*:*:*:*|2|22:00-06:00 UTC"),
        ({"process_concurrency": None, "hours": None}, "*:*:*:*:*:*||"),
    ],
)
def test_a_change_names_what_it_changes_and_keeps_the_rest(given: dict, text: str) -> None:
    assert changes(given) == text
