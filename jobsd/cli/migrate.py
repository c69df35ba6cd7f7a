"""jobsd migrate: brings the ledger's schema and its views up to date."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import typer

from jobsd.cli.servers import ConfigOption, ledger
from jobsd.daemon.record_options import NO_VIEWS
from jobsd.daemon.settings import load_settings
from jobsd.records import migrate as migrations
from jobsd.records.views import ensure_views

if TYPE_CHECKING:
    from jobsd.records.views import View


def migrate(config: ConfigOption = None) -> None:
    """Bring the ledger's schema and its views up to date."""
    asyncio.run(_migrate(config))


async def _migrate(config: Any) -> None:
    schema = load_settings(config).settings.records.views
    async with ledger(config, migrated=False) as pool:
        applied = await migrations.migrate(pool)
        for migration in applied:
            typer.echo(f"applied {migration}")
        views = [] if schema == NO_VIEWS else await ensure_views(pool, schema)
    for view in views:
        _tell(view)
    if not applied and all(view.state == "skipped" for view in views):
        typer.echo("the schema is up to date")


def _tell(view: View) -> None:
    if view.state != "skipped":
        typer.echo(f"{view.state} view {view.name}")
        return
    typer.echo(f"no view {view.name}: {view.cause}", err=True)
    if view.remedy is not None:
        typer.echo(f"  {view.remedy}", err=True)
