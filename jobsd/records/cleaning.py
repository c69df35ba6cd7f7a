"""What Postgres refuses in text and JSON, put into a form that it takes. Only for rows that were refused."""

from __future__ import annotations

import re
from typing import Any, cast

from jobsd.execution import Execution

_NUL_SIGN = "\N{SYMBOL FOR NULL}"
_SURROGATE = re.compile("[\ud800-\udfff]")


def cleaned(execution: Execution) -> Execution:
    """Return the execution with no zero character and no lone surrogate in it; all else as it was."""
    return Execution._make(clean(field) for field in execution)


def clean(value: Any) -> Any:
    match value:
        case str():
            return clean_text(value)
        case list():
            return [clean(item) for item in cast("list[Any]", value)]
        case dict():
            return {clean_text(str(key)): clean(item) for key, item in cast("dict[Any, Any]", value).items()}
        case _:
            return value


def clean_text(text: str) -> str:
    """Return the text as Postgres can keep it.

    >>> clean_text("a" + chr(0) + "b" + chr(0xD800))
    'a␀b�'
    """
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\0", _NUL_SIGN))
