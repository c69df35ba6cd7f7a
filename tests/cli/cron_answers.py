"""What `jobsd cron` answers: its words, its JSON, its refusals."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from jobsd.cli import app

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result


async def said(run: Callable[..., Result], *words: str) -> str:
    ended = await asyncio.to_thread(run, *words)
    assert (ended.exit_code, ended.stderr) == (0, "")
    return re.sub(" +", " ", ended.stdout)


async def told(run: Callable[..., Result], *words: str) -> Any:
    return json.loads(await said(run, *words, "--json"))


async def refused(run: Callable[..., Result], *words: str) -> tuple[type, str]:
    """Return the error that the command ends with, which has printed nothing."""
    ended = await asyncio.to_thread(run, *words, catch_exceptions=True)
    assert ended.stdout == ""
    return type(ended.exception), str(ended.exception)


def undocumented(given: dict[str, Any], command: str) -> list[str]:
    """Return the keys that the command's help does not name."""
    text = CliRunner().invoke(app, ["cron", command, "--help"]).stdout
    return [key for key in given if not re.search(rf"\b{key}\b", text)]
