from __future__ import annotations

import dataclasses
import enum
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from jobsd.arguments import Arguments

if TYPE_CHECKING:
    from jobsd import Context


class Colour(enum.Enum):
    RED = "red"


class Person(BaseModel):
    name: str
    born: date | None = None


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


async def everything(
    ctx: Context,
    at: datetime,
    key: uuid.UUID,
    person: Person,
    point: Point,
    colour: Colour,
    price: Decimal,
    span: timedelta,
    tags: set[str],
) -> None: ...


def test_what_travelled_as_json_is_what_was_enqueued_again() -> None:
    given = (
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        uuid.uuid4(),
        Person(name="Ada", born=date(1815, 12, 10)),
        Point(1, 2),
        Colour.RED,
        Decimal("1.10"),
        timedelta(hours=1, microseconds=1),
        {"a", "b"},
    )
    arguments = Arguments(everything)
    travelled = tuple(from_json(to_json(given)))
    assert arguments.validate(travelled, {}) == (given, {})
    assert arguments.validate(given, {}) == (given, {})


async def shapes(ctx: Context, a: int, /, b: int, *rest: int, only: str, option: int = 7, **more: float) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("1", "2"), {"only": "x"}),
        (("1", "2", "3", "4"), {"only": "x", "option": "9"}),
        (("1",), {"b": "2", "only": "x", "extra": "1.5"}),
    ],
)
def test_every_kind_of_parameter_is_served(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    async def told(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return args, kwargs

    found_args, found_kwargs = Arguments(shapes).validate(args, kwargs)
    assert all(isinstance(value, int) for value in found_args)
    assert found_kwargs["only"] == "x"
    assert isinstance(found_kwargs.get("extra", 0.0), float)
    assert isinstance(found_kwargs.get("option", 7), int)


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    [
        ((1, 2), {}, "only is missing"),
        ((), {"only": "x"}, "a is missing; b is missing"),
        ((1,), {"a": 1, "b": 2, "only": "x", "more": "y"}, "a: .*|more: input should be a valid number"),
        ((1, "two"), {"only": "x"}, r"b: input should be a valid integer, .*\(given 'two'\)"),
        ((1, 2, "three"), {"only": "x"}, "given 'three'"),
        ((1, 2), {"only": 5}, r"only: input should be a valid string \(given 5\)"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(args: tuple[Any, ...], kwargs: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Arguments(shapes).validate(args, kwargs)


def test_a_long_value_is_cut_in_the_message() -> None:
    async def takes(ctx: Context, n: int) -> None: ...

    with pytest.raises(ValueError, match="…") as refused:
        Arguments(takes).validate(("x" * 10_000,), {})
    assert len(str(refused.value)) < 300


def test_a_parameter_without_annotation_takes_anything() -> None:
    async def takes(ctx, what) -> None: ...

    assert Arguments(takes).validate(({"any": [1]},), {}) == (({"any": [1]},), {})


def test_a_place_inside_an_argument_is_named() -> None:
    async def takes(ctx: Context, people: list[Person]) -> None: ...

    with pytest.raises(ValueError, match=r"people\.1\.name is missing|people\.1\.name: field required"):
        Arguments(takes).validate(([{"name": "Ada"}, {}],), {})


def test_a_context_of_any_name_and_annotation_is_left_out() -> None:
    async def takes(whatever: NoSuchName, n: int) -> None: ...  # noqa: F821

    assert Arguments(takes).validate(("5",), {}) == ((5,), {})
    with pytest.raises(ValueError, match="whatever is not a parameter"):
        Arguments(takes).validate((5,), {"whatever": 1})


def test_a_parameter_that_was_probably_meant_is_named() -> None:
    async def takes(ctx: Context, format: str, n: int = 1) -> None: ...  # noqa: A002

    for given, said in (
        ({"fromat": "x"}, "format is missing; fromat is not a parameter (did you mean 'format'?)"),
        ({"format": "x", "colour": 1}, "colour is not a parameter"),
        ({"format": "x", "formats": 1}, "formats is not a parameter"),
    ):
        with pytest.raises(ValueError, match="is not a parameter") as refused:
            Arguments(takes).validate((), given)
        assert str(refused.value) == said
