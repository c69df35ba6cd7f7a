"""Do these arguments fit that function? Asked at enqueue when the task is at hand, and always by the worker."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ArgsKwargs

if TYPE_CHECKING:
    from collections.abc import Callable

_CONFIG = ConfigDict(arbitrary_types_allowed=True)


class Arguments:
    """The validated signature of a task's function, its first parameter (the context) left out."""

    def __init__(self, function: Callable[..., Any]) -> None:
        collector = _collector(function)
        self._signature = inspect.signature(collector)
        self._names = list(self._signature.parameters)
        adapter: Any = TypeAdapter(collector)
        self._validate = adapter.validator.validate_python

    def validate(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments as the annotations want them (a datetime again, not its text).

        Raises ValueError with the problems as one sentence: ``n: input should be a valid integer (given 'x')``.
        """
        try:
            return self._validate(ArgsKwargs(args, kwargs))
        except ValidationError as error:
            raise ValueError(self._explain(error)) from None

    def bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return valid arguments with every one by its name that can be given so: a call has then one form only."""
        named = dict(kwargs)
        unnamed: list[Any] = []
        parameters = list(self._signature.parameters.values())
        for n, value in enumerate(args):
            if n < len(parameters) and parameters[n].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
                named[parameters[n].name] = value
            else:
                unnamed.append(value)
        return tuple(unnamed), named

    def by_position(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return valid arguments, a single one that was given by its name without it, if it is the first."""
        first = next(iter(self._signature.parameters.values()), None)
        if first is None or first.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            return args, kwargs
        return (tuple(kwargs.values()), {}) if not args and list(kwargs) == [first.name] else (args, kwargs)

    def _explain(self, error: ValidationError) -> str:
        problems: list[str] = []
        for problem in error.errors(include_url=False, include_context=False):
            place = ".".join(str(part) for part in self._named(problem["loc"])) or "arguments"
            kind = problem["type"]
            if kind.startswith("missing_"):
                problems.append(f"{place} is missing")
            elif kind.startswith("unexpected_"):
                problems.append(f"{place} is not a parameter")
            else:
                text = problem["msg"][0].lower() + problem["msg"][1:]
                problems.append(f"{place}: {text} (given {_short(problem['input'])})")
        return "; ".join(problems)

    def _named(self, place: tuple[int | str, ...]) -> tuple[int | str, ...]:
        """Return the place with a leading position replaced by the parameter's name."""
        if place and isinstance(place[0], int):
            first = self._names[place[0]] if place[0] < len(self._names) else f"argument {place[0] + 1}"
            return (first, *place[1:])
        return place


def _collector(function: Callable[..., Any]) -> Any:
    """Return a function of the same signature, less the context, that returns what it is called with."""
    signature = inspect.signature(function)
    context, *rest = signature.parameters.values()

    def returned(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, kwargs

    collect: Any = returned

    # pydantic resolves names of annotations in the module of the function it is shown.
    collect.__module__ = function.__module__
    collect.__qualname__ = function.__qualname__
    collect.__signature__ = signature.replace(parameters=rest)
    collect.__annotations__ = {
        name: hint for name, hint in function.__annotations__.items() if name not in {context.name, "return"}
    }
    collect.__pydantic_config__ = _CONFIG
    return collect


def _short(value: object, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
