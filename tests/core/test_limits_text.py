"""The limits of a job as they travel: the text in its payload, and the rule by which it is stored."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from jobsd import JobRequest, aggregate
from jobsd.definition import Task
from jobsd.errors import InvalidArgumentsError
from jobsd.job import JobOptions
from jobsd.limits_text import digest, limits_of

LIMIT = 1000


async def _add(ctx, a: Any, b: Any = 0, *rest: Any, more: Any = None) -> None: ...
async def _apart(ctx, a: int, /, b: int) -> None: ...


add = Task(_add, "add")
unique = add.opts(unique_for="1h")
lists = add.opts(aggregate=aggregate("2s", max_size=3, max_delay="1m"))


def text_of(request: JobRequest[Any]) -> str:
    return limits_of(request, payload_limit_bytes=LIMIT).text


def by_name(*args: Any, **kwargs: Any) -> JobRequest[Any]:
    return JobRequest("add", args, kwargs, "default", JobOptions(unique_for="1h"))


def test_the_text_names_key_resources_and_lock_in_this_order() -> None:
    call = add.opts(unique_for="1h", unique_key="x", resources=["stripe", "smtp"], limit_key="acme")
    text, rule = limits_of(call.job(1), payload_limit_bytes=LIMIT)
    assert text == f"k=acme,r=smtp,r=stripe,u={digest('unique', 'x')}/3600000"
    assert rule == ""


def test_a_digest_is_24_hex_digits() -> None:
    assert len(digest("x")) == 24
    assert set(digest("x")) <= set("0123456789abcdef")


def test_a_throttled_call_has_a_rule_and_no_lock_of_its_own() -> None:
    text, rule = limits_of(add.opts(throttle="10s", limit_key="acme").job(1), payload_limit_bytes=LIMIT)
    assert (text, rule) == ("k=acme", f"t={digest('throttle', 'add', None)}/10000")


def test_a_debounced_call_is_open_under_its_task() -> None:
    first, second = (limits_of(add.opts(debounce="500ms").job(n), payload_limit_bytes=LIMIT) for n in (1, 2))
    assert first == second == (f"o={digest('debounce', 'add', None)}", "d=500")


def test_an_aggregated_call_tells_its_rule_with_its_items_and_the_limit_of_the_payload() -> None:
    limits = limits_of(lists.job([1, 2]), payload_limit_bytes=LIMIT)
    assert limits == (f"o={digest('aggregate', 'add', None)}", "a=2000/60000/3/2/1000")


def test_calls_with_a_key_of_their_own_are_told_apart_by_it() -> None:
    for option in ({"debounce": "1s"}, {"throttle": "1s"}, {"aggregate": aggregate("1s")}):
        limits = {limits_of(add.opts(unique_key=key, **option).job([1]), payload_limit_bytes=LIMIT) for key in "aab"}
        assert len(limits) == 2


def test_an_own_key_makes_calls_of_any_task_and_arguments_the_same() -> None:
    options = {"unique_for": "1h", "unique_key": "invoice 7"}
    other = JobRequest("other", (), {}, "default", JobOptions(**options))
    assert text_of(add.opts(**options).job(1)) == text_of(add.opts(**options).job(2)) == text_of(other)


# --- which calls are the same ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "same",
    [
        lambda: (unique.job(1, 2), unique.job(1, b=2), unique.job(a=1, b=2), unique.job(b=2, a=1)),
        lambda: (unique.job(1, 2, 3), unique.job(1, 2, 3)),
        lambda: (unique.job(1, b=2), by_name(a=1, b=2), by_name(b=2, a=1)),
        lambda: (unique.job({"x": 1, "y": [2]}), unique.job({"y": [2], "x": 1})),
        lambda: (unique.job({"a", "b", "c", "d"}), unique.job({"d", "c", "b", "a"})),
        lambda: (unique.job(Point({"y": 1, "x": 2})), unique.job(Point({"x": 2, "y": 1}))),
        lambda: (unique.job((1, 2)), unique.job([1, 2])),
        lambda: (unique.job(1), add.opts(unique_for="2h").job(1)),
    ],
)
def test_the_same_arguments_are_the_same_call_however_they_are_given(same) -> None:
    assert len({text_of(request).partition("/")[0] for request in same()}) == 1


@pytest.mark.parametrize(
    "others",
    [
        lambda: (unique.job(1, 2), unique.job(2, 1)),
        lambda: (unique.job(1), unique.job("1")),
        lambda: (unique.job(1), unique.job(1, more=1)),
        lambda: (unique.job(1, 2, 3), unique.job(1, 2, 4)),
        lambda: (unique.job(None), unique.job({})),
        lambda: (unique.job(1), Task(_add, "other").opts(unique_for="1h").job(1)),
        lambda: (unique.job(1), add.opts(unique_for="1h", unique_key="1").job(1)),
        lambda: (unique.job(datetime(2026, 1, 1, tzinfo=UTC)), unique.job(datetime(2026, 1, 2, tzinfo=UTC))),
    ],
)
def test_other_arguments_are_another_call(others) -> None:
    one, other = (text_of(request) for request in others())
    assert one != other


def test_a_parameter_that_has_no_name_for_callers_counts_by_its_position() -> None:
    apart = Task(_apart, "apart").opts(unique_for="1h")
    assert text_of(apart.job(1, 2)) == text_of(apart.job(1, b=2)) != text_of(apart.job(2, 1))


def test_a_digest_is_the_same_in_every_process() -> None:
    code = "from jobsd.limits_text import digest; print(digest('unique', {'b': {'x', 'y', 'z'}, 'a': 1.5}))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }
    assert told == {digest("unique", {"a": 1.5, "b": {"z", "y", "x"}})}


@dataclass
class Point:
    at: dict[str, int]


# --- what cannot be aggregated --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((5,), {}), (("text",), {}), (({1, 2},), {}), (([1], 2), {}), (([1],), {"more": 1}), ((), {"a": [1]})],
)
def test_a_call_that_is_no_single_list_cannot_be_aggregated(args: Any, kwargs: Any) -> None:
    request = JobRequest("add", args, kwargs, "default", JobOptions(aggregate=aggregate("2s")))
    with pytest.raises(InvalidArgumentsError, match="one argument, a list"):
        text_of(request)


@pytest.mark.parametrize("items", [[], [1, 2, 3, 4]])
def test_a_list_that_is_empty_or_over_the_size_cannot_be_aggregated(items: list[int]) -> None:
    with pytest.raises(InvalidArgumentsError, match=f"1 to 3 items .max_size.; this one has {len(items)}"):
        text_of(lists.job(items))
