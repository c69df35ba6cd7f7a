"""Holidays: a callable of the user's that says of a due time whether nothing is to run then.

It is handed the due time as an aware datetime in the schedule's zone. In settings it stands by its name.
"""

from __future__ import annotations

import inspect
import re
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_ALLOWED = 'a callable by its name, "module:function", such as "shop.days:is_holiday"'


def name_of(given: object) -> str:
    """Return the name of a callable, or the name that was given for it. Raises ValueError."""
    if isinstance(given, str) and _DOTTED.fullmatch(given):
        return given
    if isinstance(given, str) or not callable(given):
        msg = f"{given!r} is not {_ALLOWED}"
        raise ValueError(msg)  # noqa: TRY004 - see find
    if inspect.iscoroutinefunction(given):
        msg = f"{given!r} is async; the scheduler waits for no answer, so it must be a plain function"
        raise ValueError(msg)
    _see_that_it_takes_an_instant(given)
    module, name = getattr(given, "__module__", ""), getattr(given, "__qualname__", type(given).__qualname__)
    return f"{module}:{name}"


def _see_that_it_takes_an_instant(given: Callable[..., Any]) -> None:
    """Raise ValueError if it cannot be called with a due time alone, as far as its signature tells."""
    try:
        signature = inspect.signature(given)
    except (ValueError, TypeError):  # of what is written in C there may be none
        return
    try:
        signature.bind(None)
    except TypeError as error:
        msg = f"{given!r} is called with the due time, and nothing else: {error}"
        raise ValueError(msg) from None


def find(name: str) -> Callable[[datetime], bool]:
    """Import the callable of that name. Raises ValueError that says what is missing."""
    module, _, path = name.partition(":")
    try:
        found: Any = import_module(module)
    except Exception as error:
        msg = f"{name!r}: module {module!r} cannot be imported: {type(error).__name__}: {error}"
        raise ValueError(msg) from error
    for part in path.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, dir(found), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            msg = f"{name!r}: there is no {part!r} in it{hint}"
            raise ValueError(msg)
        found = getattr(found, part)
    function: Any = found
    if not callable(found):
        msg = f"{name!r} cannot be called; a function is needed that takes a datetime"
        raise ValueError(msg)  # noqa: TRY004 - whoever declares it is told, as of every other option
    name_of(found)
    return function
