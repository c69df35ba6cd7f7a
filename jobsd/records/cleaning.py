"""What Postgres refuses in text and JSON, put into a form that it takes, and JSON of any kind, read."""

from __future__ import annotations

import json
import math
import re
from typing import Any, cast

from pydantic_core import from_json

from jobsd.execution import Execution

_NUL_SIGN = "\N{SYMBOL FOR NULL}"
_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_MOST_DIGITS = 4_300  # Python makes no integer of more
_SURROGATE = re.compile("[\ud800-\udfff]")


def cleaned(execution: Execution) -> Execution:
    """Return the execution with no zero character, no lone surrogate and no NaN in it, marked if it had any."""
    clear = Execution._make(clean(field) for field in execution)
    return clear if clear == execution else clear._replace(altered=True)


def clean(value: Any) -> Any:
    match value:
        case str():
            return clean_text(value)
        case float() if not math.isfinite(value):
            return _WORDS[str(value)]
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


def loads(text: str | bytes) -> Any:
    """Return what JSON says, also one with lone surrogates, or with numbers that Postgres keeps and Python does not.

    >>> loads("9" * 5000)
    inf

    Raises ValueError or RecursionError.
    """
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text, parse_int=_number)


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)
