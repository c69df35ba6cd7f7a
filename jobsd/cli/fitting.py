"""As many columns of a table as the terminal has room for.

A table has several forms, the fullest first: the first that fits is shown, and the last where none does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd.cli.output import cell_of, room

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FOLDED = {"when": 30, "state": 16, "note": 30, "message": 20}
"""Columns that may be folded, and how many characters of a line they need at the least."""
_GAP = 2
"""Characters for each column: what is between it and the next, and before and behind them all."""


class Form(NamedTuple):
    columns: tuple[str, ...]
    rows: Sequence[dict[str, Any]]


def fitting(*forms: Form) -> Form:
    width = room()
    return next((form for form in forms if _width(form) <= width), forms[-1])


def _width(form: Form) -> int:
    return sum(min(_FOLDED.get(column, width), width) + _GAP for column, width in _widths(form))


def _widths(form: Form) -> Iterator[tuple[str, int]]:
    for column in form.columns:
        yield column, max(len(column), *(len(cell_of(row[column])) for row in form.rows), 0)
