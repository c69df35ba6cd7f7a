from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.rate import Rate

DAY_MS = 24 * 3_600_000


@pytest.mark.parametrize(
    ("text", "count", "window_ms"),
    [
        ("5/10s", 5, 10_000),
        ("100/m", 100, 60_000),
        ("1000/1h", 1000, 3_600_000),
        (" 5 / 1m30s ", 5, 90_000),
        ("1/10ms", 1, 10),
        ("2/D", 2, DAY_MS),
        ("100000/31d", 100_000, 31 * DAY_MS),
        ("3/1.5s", 3, 1500),
    ],
)
def test_a_rate_is_a_count_in_a_window(text: str, count: int, window_ms: int) -> None:
    assert Rate.parse(text) == Rate(count, window_ms)


@given(st.integers(1, 100_000), st.integers(10, 31 * DAY_MS))
def test_what_is_written_is_read_back(count: int, window_ms: int) -> None:
    rate = Rate(count, window_ms)
    assert Rate.parse(str(rate)) == rate


NO_RATES = ["", "5", "5/", "/s", "5/x", "5/10", "0/s", "-1/s", "1.5/s", "5/s/s", "5 per s", None, 5, b"5/s"]
OUT_OF_BOUNDS = ["5/9ms", "5/0s", "1/32d", "100001/s", "99999999999/s"]


@pytest.mark.parametrize("text", NO_RATES + OUT_OF_BOUNDS)
def test_what_is_no_rate_is_refused_with_what_is_allowed(text: object) -> None:
    with pytest.raises(ValueError, match="is not a rate such as"):
        Rate.parse(text)


@pytest.mark.parametrize(("count", "window_ms"), [(0, 1000), (100_001, 1000), (1, 9), (1, 31 * DAY_MS + 1)])
def test_a_rate_out_of_bounds_cannot_be_made(count: int, window_ms: int) -> None:
    with pytest.raises(ValueError, match="1 to 100,000 jobs in 10ms to 31d"):
        Rate(count, window_ms)
