"""The commands. Each prints for people, and JSON with --json; data goes to stdout, words about it to stderr.

Exit codes: 0 fine, 1 the asked-for thing failed, 2 wrong usage or configuration, 3 a server is out of reach.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from jobsd import __version__
from jobsd.cli.config import config
from jobsd.cli.cron import cron
from jobsd.cli.enqueue import enqueue
from jobsd.cli.fsck import fsck
from jobsd.cli.history import history
from jobsd.cli.jobs import jobs
from jobsd.cli.migrate import migrate
from jobsd.cli.output import printable
from jobsd.cli.queues import queues
from jobsd.cli.reload import reload
from jobsd.cli.run import dev
from jobsd.cli.run import run as run_daemon
from jobsd.errors import JobsdError

app = typer.Typer(
    name="jobsd",
    help="An asyncio-native worker daemon: jobs on Redis or Valkey, every execution recorded in Postgres.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run_daemon)
app.command("dev")(dev)
app.command("reload")(reload)
app.command("enqueue")(enqueue)
app.add_typer(queues, name="queues")
app.add_typer(jobs, name="jobs")
app.add_typer(cron, name="cron")
app.add_typer(history, name="history")
app.command("fsck")(fsck)
app.command("migrate")(migrate)
app.command("config")(config)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"jobsd {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is, and end.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """Run the command line; an error of ours is one message and its exit code, never a trace."""
    try:
        app()
    except JobsdError as error:
        sys.stderr.write(f"jobsd: {printable(str(error))}\n")
        sys.exit(error.exit_code)
    except TimeoutError as error:  # what was waited for did not come in the time that --wait gave it
        sys.stderr.write(f"jobsd: {error}\n")
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
