"""How the commands print: calm tables for people, JSON for programs, and nothing that takes over the terminal.

Much of what is printed comes from elsewhere: the message of an error may hold what somebody's server has answered.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

_PIPED = 200
"""Characters of a line where there is no terminal."""
_LONGEST = 200
_WHOLE = {
    *(
        "id",
        "job_id",
        "fingerprint",
        "queue",
        "task",
        "outcome",
        "transition",
        "started",
        "at",
        "first_seen",
        "last_seen",
    ),
    *("schedule", "last", "what", "late", "due", "next", "in", "job"),
}
# Control characters but the tab and the newline, and those that turn the direction of writing.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return the text with what a terminal would obey written out."""
    plain = _CONTROLS.sub(lambda found: _written_out(found[0], r"\x{:02x}"), text)
    return plain.encode("utf-8", "replace").decode()


def as_json(value: Any) -> str:
    """Return JSON of one line; what is no number in JSON, and what has no JSON form, is a text."""
    encoded = json.dumps(_finite(value), default=_text, ensure_ascii=False)
    plain = _CONTROLS.sub(lambda found: _written_out(found[0], r"\u00{:02x}"), encoded)
    return plain.encode("utf-8", "replace").decode()


def _written_out(character: str, small: str) -> str:
    code = ord(character)
    return small.format(code) if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - of one byte


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _finite(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {key: _finite(item) for key, item in cast("dict[Any, Any]", value).items()}
        case list() | tuple():
            return [_finite(item) for item in cast("list[Any]", value)]
        case _:
            return value


def room() -> int:
    """Return how many characters a line has."""
    return shutil.get_terminal_size((_PIPED, 24)).columns


def print_rows(rows: Sequence[dict[str, Any]], *, columns: Sequence[str], json_output: bool, empty: str) -> None:
    """Print ``columns`` of ``rows``; numbers to the right. JSON has every key."""
    if json_output:
        typer.echo(as_json(list(rows)))
        return
    if not rows:
        typer.echo(empty, err=True)
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = room()
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        number = all(isinstance(row[column], int | float | None) for row in rows)
        table.add_column(
            column.replace("_", " "),
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=number or column in _WHOLE,  # an id that is folded cannot be copied
        )
    for row in rows:
        table.add_row(*(Text(printable(cell_of(row[column]))) for column in columns))  # no markup of anybody's
    console.print(table)


def cell_of(value: Any) -> str:
    """Return what stands in a table for it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else ""
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.3f}"
        case _:
            first, *more = str(value).splitlines() or [""]
            return first if not more and len(first) <= _LONGEST else f"{first[:_LONGEST]} …"
