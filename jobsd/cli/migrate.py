"""jobsd migrate: brings the ledger's schema up to date."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import typer

from jobsd.cli.servers import ConfigOption, ledger
from jobsd.records import migrate as migrations

if TYPE_CHECKING:
    from jobsd.records.migrate import Migration


def migrate(config: ConfigOption = None) -> None:
    """Bring the ledger's schema up to date."""
    applied = asyncio.run(_migrate(config))
    for migration in applied:
        typer.echo(f"applied {migration}")
    if not applied:
        typer.echo("the schema is up to date")


async def _migrate(config: Any) -> list[Migration]:
    async with ledger(config, migrated=False) as pool:
        return await migrations.migrate(pool)
