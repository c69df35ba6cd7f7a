from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd import exponential, fixed, linear
from jobsd.delays import DEFAULT, Backoff

milliseconds = st.integers(0, 10 * 24 * 3_600_000).map(lambda ms: timedelta(milliseconds=ms))
curves = st.one_of(
    st.builds(exponential, milliseconds, factor=st.floats(1, 100), cap=milliseconds, jitter=st.booleans()),
    st.builds(linear, milliseconds, cap=milliseconds, jitter=st.booleans()),
    st.builds(fixed, milliseconds, jitter=st.booleans()),
)


@given(curves, st.integers(1, 1000))
def test_no_curve_ever_falls(curve: Backoff, failures: int) -> None:
    assert 0 <= curve.longest_ms(failures) <= curve.longest_ms(failures + 1)


@given(curves, st.integers(1, 1000))
def test_a_delay_lies_between_nothing_and_the_curve(curve: Backoff, failures: int) -> None:
    delay = curve.delay_ms(failures)
    assert isinstance(delay, int)
    assert 0 <= delay <= curve.longest_ms(failures) <= curve.cap_ms
    if not curve.jitter:
        assert delay == curve.longest_ms(failures)


@given(curves)
def test_a_curve_survives_the_wire(curve: Backoff) -> None:
    assert Backoff.from_wire(curve.to_wire()) == curve


def test_the_default_outlasts_an_outage() -> None:
    assert [DEFAULT.longest_ms(n) // 1000 for n in range(1, 8)] == [10, 40, 160, 640, 2560, 3600, 3600]
    assert DEFAULT.jitter


def test_full_jitter_uses_the_whole_range() -> None:
    random.seed(1)
    delays = [exponential("10s").delay_ms(1) for _ in range(1000)]
    assert min(delays) < 500
    assert max(delays) > 9_500
    assert {fixed("1ms", jitter=True).delay_ms(1) for _ in range(100)} == {0, 1}


def test_linear_adds_a_step_for_each_failure() -> None:
    assert [linear("2s", cap="5s").longest_ms(n) for n in range(1, 5)] == [2000, 4000, 5000, 5000]


def test_fixed_is_exact_unless_jitter_is_asked_for() -> None:
    assert [fixed("3s").delay_ms(n) for n in (1, 2, 1000)] == [3000] * 3
    assert any(fixed("3s", jitter=True).delay_ms(1) < 3000 for _ in range(100))


@pytest.mark.parametrize("factor", [0, 0.99, -1])
def test_a_factor_below_1_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        exponential("1s", factor=factor)


@pytest.mark.parametrize("make", [exponential, fixed, linear])
def test_a_bare_number_is_refused(make) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        make(5)


@pytest.mark.parametrize("factor", [1e6, float("nan")])
def test_every_accepted_factor_gives_a_delay(factor: float) -> None:
    try:
        curve = exponential("1s", factor=factor, jitter=False)
    except ValueError:
        return
    assert 1000 <= curve.delay_ms(65) <= 3_600_000
