"""Do these arguments fit that function? Asked at enqueue when the task is at hand, and always by the worker."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ArgsKwargs

from jobsd.redaction import DEFAULT_FIELDS, policy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic_core import ErrorDetails

    from jobsd.redaction import RecordPolicy

_CONFIG = ConfigDict(arbitrary_types_allowed=True)
_LONGEST_GIVEN = 80
_SAYS_NO_VALUE = {"int_parsing", "float_parsing", "bool_parsing"}


class MisfitError(ValueError):
    """Arguments do not fit. As a text it shows no value that the task, or anybody by default, has redacted."""

    def __init__(
        self, problems: Sequence[ErrorDetails], names: Sequence[str], policy: RecordPolicy, *, free: Sequence[str]
    ) -> None:
        self._problems = problems
        self._names = names
        self._free = free
        super().__init__(self.told(policy))

    def told(self, policy: RecordPolicy) -> str:
        """Return the problems as one sentence, without the values that the policy hides."""
        return "; ".join(
            _explained(problem, _place(problem["loc"], self._names), policy) + self._meant(problem)
            for problem in self._problems
        )

    def _meant(self, problem: ErrorDetails) -> str:
        """Return which parameter without a value was probably meant by one that there is not."""
        if problem["type"] != "unexpected_keyword_argument":
            return ""
        near = get_close_matches(str(problem["loc"][-1]), self._free, 1)
        return f" (did you mean {near[0]!r}?)" if near else ""


class Arguments:
    """The validated signature of a task's function, its first parameter (the context) left out.

    ``redact`` are names of fields whose values no error shows.
    """

    def __init__(self, function: Callable[..., Any], redact: Sequence[str] = ()) -> None:
        self._function = function
        self._redact = redact
        collector = _collector(function)
        self._signature = inspect.signature(collector)
        self._names = list(self._signature.parameters)
        adapter: Any = TypeAdapter(collector)
        self._validate = adapter.validator.validate_python

    def validate(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments as the annotations want them (a datetime again, not its text).

        Raises MisfitError with the problems as one sentence: ``n: input should be a valid integer (given 'x')``.
        """
        try:
            return self._validate(ArgsKwargs(args, kwargs))
        except ValidationError as error:
            policy = policy_of(self._function, (*self._redact, *DEFAULT_FIELDS))
            problems = error.errors(include_url=False, include_context=False)
            raise MisfitError(problems, self._names, policy, free=self._free(args, kwargs)) from None

    def _free(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
        """Return the parameters that can be given by name, and are not."""
        by_name = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
        rest = list(self._signature.parameters.values())[len(args) :]
        return [parameter.name for parameter in rest if parameter.kind in by_name and parameter.name not in kwargs]

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


def _in_words(problem: ErrorDetails) -> str:
    return problem["msg"][0].lower() + problem["msg"][1:]


def _explained(problem: ErrorDetails, place: Sequence[int | str], policy: RecordPolicy) -> str:
    where = ".".join(map(str, place)) or "arguments"
    kind = problem["type"]
    if kind.startswith("missing_"):
        return f"{where} is missing"
    if kind.startswith("unexpected_"):
        return f"{where} is not a parameter"
    if any(map(policy.hides, place)):
        # What a validator says may have the value in it.
        said = _in_words(problem) if kind in _SAYS_NO_VALUE or kind.endswith("_type") else kind
        return f"{where}: {said} (its value is not shown)"
    return f"{where}: {_in_words(problem)} (given {policy.text(problem['input'], _LONGEST_GIVEN)})"


def _place(place: tuple[int | str, ...], names: Sequence[str]) -> tuple[int | str, ...]:
    """Return the place with a leading position replaced by the parameter's name."""
    if place and isinstance(place[0], int):
        first = names[place[0]] if place[0] < len(names) else f"argument {place[0] + 1}"
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
