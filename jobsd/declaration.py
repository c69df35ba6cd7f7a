"""What may be declared as a task: its name, its function, and the options that no call has."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from jobsd.errors import TaskDefinitionError
from jobsd.size import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Errors: TypeAlias = "type[BaseException] | Iterable[type[BaseException]]"

_LEAST_MEMORY = 16_000_000
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


def check_record(name: str, record: object) -> None:
    if record not in ("all", "failures", "none"):
        raise TaskDefinitionError(task=name, problem=f'record is {record!r}; allowed are "all", "failures" and "none"')


def redacted_fields(name: str, given: Any) -> tuple[str, ...]:
    """Return the names as a tuple; one may be given alone."""
    fields: tuple[Any, ...] = (given,) if isinstance(given, str) or not hasattr(given, "__iter__") else tuple(given)
    if not all(isinstance(field, str) and field.strip() for field in fields):
        raise TaskDefinitionError(task=name, problem=f"redact takes names of fields, not {given!r}")
    return fields


def check_hours(hours: str | None) -> None:
    """Raise ValueError for hours that are none."""
    if hours is not None:
        from jobsd.hours import Hours  # noqa: PLC0415 - time zones are not needed to define most tasks

        Hours.parse(hours)


def check_executor(name: str, function: Callable[..., Any], executor: object, memory: object) -> int | None:
    """Return the limit of memory in bytes. Raises TaskDefinitionError."""
    if executor not in {None, "process"}:
        raise TaskDefinitionError(task=name, problem=f'executor is {executor!r}; allowed is "process", or none')
    if executor is not None and ("<locals>" in function.__qualname__ or function.__module__ == "__main__"):
        problem = "a child process cannot find it: define it at the top of a module that can be imported"
        raise TaskDefinitionError(task=name, problem=problem)
    if memory is None:
        return None
    if executor is None:
        raise TaskDefinitionError(task=name, problem='memory needs executor="process": a thread cannot be limited')
    try:
        limit = parse_size(memory)
    except ValueError as error:
        raise TaskDefinitionError(task=name, problem=f"memory: {error}") from None
    if limit < _LEAST_MEMORY:
        raise TaskDefinitionError(task=name, problem=f"memory is {memory!r}; at least 16MB is needed to run anything")
    return limit


def _form(function: Callable[..., Any]) -> str:
    return f"{'async ' if inspect.iscoroutinefunction(function) else ''}def f(ctx, …)"


def _check_context(name: str, function: Callable[..., Any], annotation: str) -> None:
    """See that an async function is handed a Context and a plain one a PlainContext, where it says."""
    given = annotation.rpartition(".")[2]
    if given == "PlainContext" and inspect.iscoroutinefunction(function):
        raise TaskDefinitionError(task=name, problem="an async function is handed a Context, not a PlainContext")
    if given == "Context" and not inspect.iscoroutinefunction(function):
        problem = "a plain function is handed a PlainContext: a Context is for async functions"
        raise TaskDefinitionError(task=name, problem=problem)


def check_function(name: str, function: Callable[..., Any]) -> None:
    if not _NAME.fullmatch(name):
        raise TaskDefinitionError(task=name, problem="a name has 1 to 200 of A-Z a-z 0-9 _ . : -")
    if not inspect.isfunction(function) and not inspect.ismethod(function):
        raise TaskDefinitionError(task=name, problem="it must be a function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TaskDefinitionError(task=name, problem="it is a generator: a task returns its result, it yields nothing")
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind not in {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    }:
        raise TaskDefinitionError(task=name, problem=f"its first parameter must be the context: {_form(function)}")
    _check_context(name, function, _type_name(parameters[0].annotation))
    if _type_name(parameters[0].annotation) in _PLAIN:
        problem = f"its first parameter is the context, and {parameters[0]} looks like an argument: {_form(function)}"
        raise TaskDefinitionError(task=name, problem=problem)
    for parameter in parameters[1:]:
        if parameter.name.startswith("_"):
            problem = f"parameter {parameter.name!r} begins with an underscore; those are options of enqueue()"
            raise TaskDefinitionError(task=name, problem=problem)
