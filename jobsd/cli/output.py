"""How the commands print tables: calm ones for people, JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

_PIPED_WIDTH = 200


def print_rows(rows: Sequence[dict[str, Any]], *, columns: Sequence[str], json_output: bool, empty: str) -> None:
    """Print ``columns`` of ``rows``; numbers to the right. JSON has every key."""
    if json_output:
        typer.echo(json.dumps(list(rows), default=str, ensure_ascii=False))
        return
    if not rows:
        typer.echo(empty, err=True)
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        number = all(isinstance(row[column], int | float | None) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    console.print(table)


def _cell(value: Any) -> str:
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
            return str(value)
