"""jobsd cron check: what an expression says, without a server."""

from __future__ import annotations

from typing import Annotated

import typer

from jobsd.admin.schedules import check as checked
from jobsd.cli.cron_words import at_in_zone, upcoming, with_seconds
from jobsd.cli.output import as_json, printable
from jobsd.cli.servers import ConfigOption, JsonOption  # noqa: TC001 - typer looks at them
from jobsd.clock import now_ms, utc_from_ms
from jobsd.daemon.settings import load_settings
from jobsd.expressions import ExpressionError
from jobsd.zones import zone_named


def check(
    expression: Annotated[list[str], typer.Argument(metavar="EXPR", help='In quotes: "0 2 * * MON", "@daily 2:00".')],
    zone: Annotated[
        str | None, typer.Option("--zone", metavar="ZONE", help="Its time zone, instead of the settings' one.")
    ] = None,
    seconds: Annotated[bool, typer.Option("--seconds", help="It has six fields, the seconds first.")] = False,
    count: Annotated[int, typer.Option("--number", "-n", min=1, max=1000, help="How many due times.")] = 5,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Say an expression in words, with its next due times; or what is wrong with it, and where (exit code 2).

    JSON is an object: expression, zone, words, next (instants, UTC).
    """
    text = " ".join(expression)
    where = _zone(zone) if zone is not None else load_settings(config).settings.timezone
    try:
        found = checked(text, zone=where, seconds=seconds, count=count)
    except ExpressionError as error:
        typer.echo(_pointed(text, error), err=True)
        raise typer.Exit(2) from None
    if json_output:
        typer.echo(as_json({"expression": text, "zone": where, "words": found.words, "next": found.next_at}))
        return
    now = utc_from_ms(now_ms())
    typer.echo(printable(found.words))
    seconds_shown = with_seconds(found.next_at)
    for at in found.next_at:
        typer.echo(f"{at_in_zone(at, where, seconds=seconds_shown)}  {upcoming(at, now)}")
    if not found.next_at:
        typer.echo("nothing is due any more")


def _zone(name: str) -> str:
    try:
        zone_named(name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--zone") from None
    return name


def _pointed(text: str, error: ExpressionError) -> str:
    """Return the message, and below it the expression with marks under what is wrong."""
    message = printable(f"jobsd: {error}")
    if not text.isprintable() or not text:
        return message
    first, behind = error.position
    marks = "^" * max(1, behind - first)
    return f"{message}\n\n  {text}\n  {' ' * first}{marks}"
