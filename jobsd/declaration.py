"""What may be declared as a task: its name, its function, and the options that no call has."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from jobsd.errors import TaskDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Errors: TypeAlias = "type[BaseException] | Iterable[type[BaseException]]"

_NAME = re.compile(r"[A-Za-z0-9_.:<>-]{1,200}")

# Annotations that no context has: arq's is a dict, ours a Context, and many write none.
_PLAIN = {
    "str",
    "int",
    "float",
    "bool",
    "bytes",
    "list",
    "tuple",
    "set",
    "frozenset",
    "datetime",
    "date",
    "UUID",
    "Decimal",
}


def _type_name(annotation: object) -> str:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return text.partition("[")[0].strip()


def errors_of(name: str, option: str, given: Any) -> tuple[type[BaseException], ...]:
    errors: tuple[Any, ...] = (given,) if isinstance(given, type) else tuple(given)
    if not all(isinstance(error, type) and issubclass(error, BaseException) for error in errors):
        raise TaskDefinitionError(task=name, problem=f"{option} takes classes of errors, not {given!r}")
    return errors


def check_hours(hours: str | None) -> None:
    """Raise ValueError for hours that are none."""
    if hours is not None:
        from jobsd.hours import Hours  # noqa: PLC0415 - time zones are not needed to define most tasks

        Hours.parse(hours)


def check_function(name: str, function: Callable[..., Any]) -> None:
    if not _NAME.fullmatch(name):
        raise TaskDefinitionError(task=name, problem="a name has 1 to 200 of A-Z a-z 0-9 _ . : -")
    if not inspect.isfunction(function) and not inspect.ismethod(function):
        raise TaskDefinitionError(task=name, problem="it must be a function")
    if not inspect.iscoroutinefunction(function):
        raise TaskDefinitionError(task=name, problem="it must be an async function (async def)")
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind not in {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    }:
        raise TaskDefinitionError(task=name, problem="its first parameter must be the context: async def f(ctx, …)")
    if _type_name(parameters[0].annotation) in _PLAIN:
        problem = f"its first parameter is the context, and {parameters[0]} looks like an argument: async def f(ctx, …)"
        raise TaskDefinitionError(task=name, problem=problem)
    for parameter in parameters[1:]:
        if parameter.name.startswith("_"):
            problem = f"parameter {parameter.name!r} begins with an underscore; those are options of enqueue()"
            raise TaskDefinitionError(task=name, problem=problem)
