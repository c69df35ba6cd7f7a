"""Instants as a command takes them: how long ago, or a date and time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from jobsd.clock import now_ms, utc_from_ms
from jobsd.duration import parse_duration

WHEN = 'how long ago ("24h", "7d"), or when ("2026-11-22", "2026-11-22T10:00", of this machine\'s zone or with one)'


def checked(text: str | None) -> str | None:
    if text is not None:
        try:
            instant(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return text


SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help=f"From then on: {WHEN}.", callback=checked)
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Before then.", callback=checked)]


def instant(text: str) -> datetime:
    """Return the instant that ``text`` names, with its zone. Raises ValueError."""
    try:
        return utc_from_ms(now_ms()) - parse_duration(text)
    except OverflowError:
        msg = f"{text!r} is before all time"
        raise ValueError(msg) from None
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo is not None else found.astimezone()
    except (ValueError, OverflowError):
        msg = f'{text!r} is neither how long ago, such as "24h", nor a date and time, such as "2026-11-22T10:00"'
        raise ValueError(msg) from None
