"""What a task's signature says of secrets: which parameters and fields are some by type, and which may hold fields.

Annotations are walked once a task. A field whose type holds a secret is one by its name, wherever that occurs.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import inspect
import sys
import types
import typing
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, RootModel, Secret, SecretBytes, SecretStr
from typing_extensions import is_typeddict  # pydantic's own; typing's does not know those of typing_extensions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRETS: tuple[type[Any], ...] = (SecretStr, SecretBytes, Secret)

_RESULT = ""  # no parameter and no field is called so
_PLAIN: frozenset[Any] = frozenset(
    {str, bytes, int, float, complex, bool, type(None), None, Decimal, uuid.UUID}
    | {dt.datetime, dt.date, dt.time, dt.timedelta}
)
_HOLDERS: frozenset[Any] = frozenset({list, tuple, set, frozenset, typing.Union, types.UnionType, typing.Annotated})


class Places(NamedTuple):
    """``names`` are all parameters; ``by_position`` those in order, ``rest`` is the one that takes all further ones.

    ``secret`` has the names of parameters and of fields in them or in the result; with ``deep`` fields may be in the
    value of a parameter.
    """

    names: tuple[str, ...]
    by_position: tuple[str, ...]
    rest: str | None
    secret: frozenset[str]
    deep: bool
    secret_result: bool


def places_of(function: Callable[..., Any], hides: Callable[[str], bool], *, checked: bool = True) -> Places:
    """Return what the function's signature says, its first parameter (the context) left out.

    ``hides`` tells of a field's name whether it is a secret's: what else that field is called is one then, too, and so
    is a named tuple that has it, which travels without names.
    Where nothing sees that arguments are what is annotated (``checked``), fields may be anywhere.
    """
    _, *parameters = inspect.signature(function).parameters.values()
    secret: set[str] = set()
    deep = not checked
    for parameter in parameters:
        hint = _resolved(function, parameter.annotation)
        secret.update(_secret_names(hint, parameter.name, hides, {}))
        deep = deep or parameter.kind is inspect.Parameter.VAR_KEYWORD or not _is_plain(hint)
    returned = function.__annotations__.get("return", Any) if hasattr(function, "__annotations__") else Any
    names = set(_secret_names(_resolved(function, returned), _RESULT, hides, {}))
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    rest = (each.name for each in parameters if each.kind is inspect.Parameter.VAR_POSITIONAL)
    return Places(
        tuple(parameter.name for parameter in parameters),
        tuple(parameter.name for parameter in parameters if parameter.kind in by_position),
        next(rest, None),
        frozenset((secret | names) - {_RESULT}),
        deep,
        _RESULT in names,
    )


def _resolved(function: Callable[..., Any], annotation: Any) -> Any:
    """Return the type that is meant; Any if nobody knows."""
    if annotation is inspect.Parameter.empty:
        return Any
    module = sys.modules.get(function.__module__)
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, vars(module) if module else {}, include_extras=True)["it"]
    except Exception:  # noqa: BLE001 - of arguments pydantic has said so before; a result's may be for type checkers only
        return Any


def _is_plain(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return True
    origin = typing.get_origin(hint)
    if origin is None:
        return hint in _PLAIN if isinstance(hint, type | None) else False
    if origin is typing.Literal:
        return True
    if origin is typing.Annotated:
        inner, *notes = typing.get_args(hint)
        return _is_plain(inner) and not any(hasattr(note, "func") for note in notes)  # a validator may take anything
    return origin in _HOLDERS and all(_is_plain(each) for each in typing.get_args(hint) if each is not ...)


def _secret_names(
    hint: Any, name: str, hides: Callable[[str], bool], seen: dict[tuple[int, str], Any]
) -> Iterator[str]:
    """Yield the names under which secrets are: ``name`` itself, and those of fields."""
    if (id(hint), name) in seen:
        return
    seen[id(hint), name] = hint  # kept alive, so that no other has its id
    origin = typing.get_origin(hint)
    kind = hint if isinstance(hint, type) else origin
    if isinstance(kind, type) and issubclass(kind, SECRETS):
        yield name
        return
    for part in _parts(hint, origin):
        yield from _secret_names(part, name, hides, seen)
    if isinstance(kind, type) and issubclass(kind, RootModel):  # its field travels without its name
        yield from _secret_names(kind.model_fields["root"].annotation, name, hides, seen)
    elif isinstance(kind, type):
        for called, part in _fields(kind):
            if any(map(hides, called)):
                yield from called
            for field in called:
                yield from _secret_names(part, field, hides, seen)
            if issubclass(kind, tuple):  # it travels as a list
                yield from [name] if any(map(hides, called)) else _secret_names(part, name, hides, seen)


def _parts(hint: Any, origin: Any) -> tuple[Any, ...]:
    if origin is typing.Literal:
        return ()
    if origin is typing.Annotated:
        return (typing.get_args(hint)[0],)
    if hasattr(hint, "__value__"):  # type X = …
        return (hint.__value__, *typing.get_args(hint))
    if isinstance(hint, typing.NewType):
        return (hint.__supertype__,)
    if isinstance(hint, typing.TypeVar):
        return (*hint.__constraints__, hint.__bound__)
    return typing.get_args(hint)


def _fields(kind: type[Any]) -> Iterator[tuple[set[str], Any]]:
    """Yield what each field may be called, and its type."""
    fields: Any = kind.model_fields if issubclass(kind, BaseModel) else getattr(kind, "__pydantic_fields__", None)
    if fields is not None:
        for name, field in fields.items():
            aliases = {field.alias, field.serialization_alias, *_validation_names(field.validation_alias)}
            yield {name, *(alias for alias in aliases if alias is not None)}, field.annotation
    elif dataclasses.is_dataclass(kind) or is_typeddict(kind) or hasattr(kind, "_fields"):
        try:
            hints = typing.get_type_hints(kind, include_extras=True)
        except Exception:  # noqa: BLE001 - names that only a type checker knows
            return
        yield from (({name}, hint) for name, hint in hints.items())


def _validation_names(alias: Any) -> tuple[str, ...]:
    """Return the names that a validation alias allows: a text, a path whose first part is one, or a choice of these."""
    if isinstance(alias, str):
        return (alias,)
    if hasattr(alias, "choices"):
        return tuple(name for choice in alias.choices for name in _validation_names(choice))
    path = getattr(alias, "path", ())
    return tuple(part for part in path if isinstance(part, str))
