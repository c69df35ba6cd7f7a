"""What a call may say of limits, uniqueness and aggregation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobsd import aggregate, task
from jobsd.errors import InvalidOptionError, TaskDefinitionError
from jobsd.job import NO_OPTIONS, JobOptions

LISTS = aggregate("2s")


@pytest.fixture(autouse=True)
def _empty_registry(monkeypatch) -> None:
    monkeypatch.setattr("jobsd.definition.registry", {})


async def load(ctx, items: list[int], *, full: bool = False) -> None: ...


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"limit_key": ""}, "'limit_key' is ''; allowed is 1 to 128 of A-Z"),
        ({"limit_key": "a b"}, "'limit_key'"),
        ({"limit_key": "a,b"}, "'limit_key'"),
        ({"limit_key": 7}, "'limit_key' is 7"),
        ({"limit_key": "x" * 129}, "'limit_key'"),
        ({"resources": ""}, "'resources' is ''"),
        ({"resources": "a/b"}, "'resources' is 'a/b'"),
        ({"resources": ["a", 5]}, "'resources' is 5"),
        ({"resources": {"a": 1}}, "a name, or a list of names"),
        ({"resources": 5}, "a name, or a list of names"),
        ({"resources": [f"r{n}" for n in range(17)]}, "at most 16 names"),
        ({"unique_for": 60}, "'unique_for' is 60; allowed is a duration .* more than 0, at most 366d"),
        ({"unique_for": "0s"}, "'unique_for'"),
        ({"unique_for": timedelta(days=367)}, "'unique_for'"),
        ({"debounce": "soon"}, "'debounce'"),
        ({"throttle": "-1s"}, "'throttle'"),
        ({"aggregate": "2s"}, r"'aggregate' is '2s'; allowed is aggregate\("),
        ({"unique_key": "k"}, "only beside one of unique_for, debounce, throttle, aggregate"),
        ({"unique_key": "", "unique_for": "1h"}, "a text of 1 to 1,000 characters"),
        ({"unique_key": 5, "unique_for": "1h"}, "a text of 1 to 1,000 characters"),
        ({"unique_key": "\ud800", "unique_for": "1h"}, "a text of 1 to 1,000 characters"),
        ({"unique_key": "x" * 1001, "unique_for": "1h"}, "a text of 1 to 1,000 characters"),
        ({"unique_for": "1h", "throttle": "1s"}, "'throttle' is '1s'; allowed is only one of .*unique_for is set"),
        ({"debounce": "1h", "aggregate": LISTS}, "'aggregate' .* debounce is set"),
        ({"debounce": "1s", "delay": "5s"}, "'delay' is '5s'; allowed is nothing beside debounce"),
        ({"debounce": "1s", "id": "mine"}, "'id' is 'mine'; allowed is nothing beside debounce"),
        ({"aggregate": LISTS, "at": datetime(2030, 1, 1, tzinfo=UTC)}, "'at' .* nothing beside aggregate"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidOptionError, match=told):
        JobOptions(**options)
    with pytest.raises(InvalidOptionError, match=told):
        task("load")(load).opts(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"limit_key": "acme:eu@1.x_y+z-9"},
        {"resources": "stripe"},
        {"resources": ("stripe", "smtp")},
        {"unique_for": "1h", "delay": "5m", "id": "mine"},
        {"throttle": timedelta(seconds=1), "delay": "5m", "id": "mine"},
        {"debounce": "1s", "unique_key": "any text at all, ü"},
        {"aggregate": LISTS, "limit_key": "acme", "timeout": "5s"},
        {"unique_for": "366d"},
    ],
)
def test_what_makes_sense_is_a_limited_call(options: dict[str, Any]) -> None:
    assert JobOptions(**options).limited


@pytest.mark.parametrize("options", [{}, {"resources": ()}, {"retries": 3, "delay": "5s", "id": "x"}])
def test_a_call_without_limits_is_not_limited(options: dict[str, Any]) -> None:
    assert not JobOptions(**options).limited


def test_resources_are_names_each_once() -> None:
    assert JobOptions(resources="stripe").resources == ("stripe",)  # pyright: ignore[reportArgumentType]
    assert JobOptions(resources=["b", "a", "b"]).resources == ("b", "a")  # pyright: ignore[reportArgumentType]


def test_the_resources_of_a_task_are_those_of_every_call_and_a_call_may_add_more() -> None:
    charge = task("charge", resources=["stripe"])(load)
    assert charge.resources == ("stripe",)
    assert charge.job([1]).options.resources == ("stripe",)
    assert charge.opts(retries=1).job([1]).options.resources == ("stripe",)
    assert charge.opts(resources=["smtp", "stripe"]).job([1]).options.resources == ("stripe", "smtp")


def test_a_task_that_aggregates_does_so_in_every_call() -> None:
    index = task("index", aggregate=LISTS)(load)
    assert index.aggregate == LISTS
    assert index.job([1]).options.aggregate == LISTS
    assert index.opts(aggregate=aggregate("5s")).job([1]).options.aggregate == aggregate("5s")
    with pytest.raises(InvalidOptionError, match=r"'delay' .* nothing beside aggregate"):
        index.opts(delay="5s")


def test_a_task_without_limits_makes_calls_without_options() -> None:
    assert task("plain")(load).job([1]).options is NO_OPTIONS


def test_a_list_that_is_aggregated_may_be_given_by_its_name() -> None:
    request = task("index", aggregate=LISTS)(load).job(items=[1, 2])
    assert (request.args, request.kwargs) == (([1, 2],), {})


def test_the_hours_of_a_task_are_kept_as_they_were_written() -> None:
    assert task("nightly", hours="22:00-6:00")(load).hours == "22:00-6:00"
    assert task("plain")(load).hours is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"hours": "22-6"}, "task 'odd': '22-6' in '22-6' is not two times of the day"),
        ({"hours": "22:00-06:00 Asia/Jakrta"}, 'did you mean "Asia/Jakarta"'),
        ({"hours": 22}, "22 is not hours such as"),
        ({"resources": "a b"}, "'resources' is 'a b'"),
        ({"resources": 5}, "a name, or a list of names"),
        ({"aggregate": "2s"}, r"allowed is aggregate\("),
    ],
)
def test_what_makes_no_sense_for_a_task_is_refused_at_its_definition(options: dict[str, Any], told: str) -> None:
    with pytest.raises(TaskDefinitionError, match=told):
        task("odd", **options)(load)


def test_the_longest_delay_of_an_aggregate_is_ten_times_its_grace() -> None:
    assert aggregate("2s").max_delay_ms == 20_000
    assert aggregate("2s", max_delay="1m").max_delay_ms == 60_000
    assert aggregate("300d").max_delay_ms == 366 * 24 * 3_600_000


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"grace": 2}, "is not a duration"),
        ({"grace": "0s"}, "0 < grace"),
        ({"grace": "2s", "max_delay": "1s"}, "grace is '2s' and max_delay '1s'"),
        ({"grace": "367d"}, "366 days"),
        ({"grace": "2s", "max_size": 0}, "max_size is 0; it must be a whole number, 1 to 100,000"),
        ({"grace": "2s", "max_size": True}, "max_size is True"),
        ({"grace": "2s", "max_size": 100_001}, "max_size"),
    ],
)
def test_an_aggregate_that_makes_no_sense_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        aggregate(**given)
