"""jobsd config: the settings in effect, and which place gave each."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path  # noqa: TC003 - typer reads it when the command is made
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobsd.daemon.files import LOOKED_FOR
from jobsd.daemon.settings import Loaded, load_settings
from jobsd.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_VALUE_WIDTH = 20
_PIPED_WIDTH = 1000  # a line that a program reads is never folded


def config(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="PATH", help="The settings file, instead of the one found.")
    ] = None,
    *,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the settings in effect and where each comes from."""
    try:
        loaded = load_settings(config)
    except ConfigurationError as error:
        stderr = Console(stderr=True)
        stderr.print(Text(str(error)), soft_wrap=not stderr.is_terminal)
        raise typer.Exit(error.exit_code) from None
    if json_output:
        typer.echo(json.dumps(_for_programs(loaded), indent=2))
    else:
        _print_for_people(loaded)


def _for_programs(loaded: Loaded) -> dict[str, object]:
    return {key: {"value": value, "origin": loaded.origins[key]} for key, value in loaded.values().items()}


def _print_for_people(loaded: Loaded) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    console.print(_heading(loaded))
    console.print(_table(loaded))


def _heading(loaded: Loaded) -> Text:
    if loaded.file:
        return Text(str(loaded.file), style="bold")
    return Text(f"no settings file (looked for {' and '.join(map(str, LOOKED_FOR))})", style="dim")


def _table(loaded: Loaded) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for section, rows in groupby(_rows(loaded), key=lambda row: row[0]):
        table.add_row("")
        if section:
            table.add_row(Text(section, style="bold cyan"))
        for _, key, value, origin in rows:
            style = "dim" if origin == "default" else ""
            # One cell for both: where an address is too long, the origin goes to the next line whole.
            meaning = Text.assemble((f"{value:<{_VALUE_WIDTH}}", style), "  ", (origin, "dim"))
            table.add_row(Text(f"  {key}" if section else key, style=style), meaning)
    return table


def _rows(loaded: Loaded) -> Iterator[tuple[str, str, str, str]]:
    """Yield section, key, value, origin: first the keys that stand in no section."""
    for key, value in loaded.values().items():
        section, dot, name = key.partition(".")
        origin = loaded.origins[key].removeprefix("environment ")
        yield (section if dot else ""), (name if dot else key), _text(value), origin


def _text(value: object) -> str:
    match value:
        case None | []:
            return "-"
        case dict() if not value:
            return "-"
        case bool():
            return "true" if value else "false"
        case list():
            return ", ".join(map(str, cast("list[object]", value)))
        case int():
            return f"{value:,}"
        case _:
            return str(value)
