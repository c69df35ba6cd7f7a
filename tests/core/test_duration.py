from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.duration import duration_ms, format_duration, parse_duration


@given(st.integers(0, 10**14))
def test_what_is_formatted_is_read_back(ms: int) -> None:
    value = timedelta(milliseconds=ms)
    assert duration_ms(format_duration(value)) == duration_ms(value) == ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("500ms", 500),
        ("30s", 30_000),
        ("1.5s", 1_500),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("1h 30m", 5_400_000),
        (" 2D ", 172_800_000),
        ("1w", 604_800_000),
        ("0s", 0),
    ],
)
def test_durations_are_written_as_people_write_them(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize(
    "value", [5, 0, 1.5, True, "5", "", " ", "s", "5 years", "1h-5m", "-5s", "1e3s", ".5s", None, b"5s"]
)
def test_a_bare_number_and_nonsense_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(value)


def test_a_negative_timedelta_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        parse_duration(timedelta(milliseconds=-1))


def test_a_duration_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        parse_duration("9999999999999d")


@pytest.mark.parametrize("text", ["5 5m", "1 30m", "1 0s"])
def test_a_number_that_is_torn_apart_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)
