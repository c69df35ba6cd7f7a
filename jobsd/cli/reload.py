"""jobsd reload: lets the daemons of a supervisor run the code that is there now."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Annotated

import typer

from jobsd.cli.enqueue import seconds_of
from jobsd.cli.servers import ConfigOption  # noqa: TC001 - typer reads it when the command is made
from jobsd.clock import monotonic
from jobsd.daemon.settings import load_settings
from jobsd.daemon.supervisor_file import Running, running_supervisors
from jobsd.embedded import state_directory
from jobsd.errors import NoSupervisorError, ReloadError

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.daemon.supervisor_file import Reloaded

_LOOK_EVERY_S = 0.05


def reload(
    config: ConfigOption = None,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long to wait for its end; it goes on after that.")
    ] = "10m",
) -> None:
    """Replace the daemons of `jobsd run --processes N` one by one by such that have imported the code anew."""
    until = monotonic() + seconds_of(timeout, "--timeout")
    state = state_directory(load_settings(config).settings.state)
    found = _find(state)
    for one in found:
        _ask(one)
    # All are asked before the first is waited for; each goes on whatever becomes of the others.
    failures = [failure for one in found if (failure := _await_and_tell(one, until, timeout))]
    if failures:
        raise ReloadError("\n".join(failures))


def _find(state: Path) -> list[Running]:
    try:
        found = running_supervisors(state)
    except OSError as error:
        raise ReloadError(f"{error.filename or state}: {error.strerror}") from error
    if not found:
        raise NoSupervisorError(state=str(state))
    return found


def _ask(one: Running) -> None:
    try:
        one.ask_to_reload()
    except (OSError, subprocess.SubprocessError) as error:
        raise ReloadError(f"supervisor {one.known.pid} cannot be asked: {error}") from error


def _await_and_tell(one: Running, until: float, timeout: str) -> str:
    """Wait for the reload that was asked for and print how it went; return what went wrong, or nothing."""
    pid = one.known.pid
    while (now := one.look()) is not None:
        # One that had begun before we asked may have begun before the code had changed.
        if outcome := now.known.outcome(one.known.begun + 1):
            return _tell(pid, outcome)
        if monotonic() > until:
            return f"supervisor {pid} is not done after {timeout}; it goes on"
        time.sleep(_LOOK_EVERY_S)
    return f"supervisor {pid} ended meanwhile"


def _tell(pid: int, outcome: Reloaded) -> str:
    if outcome.failure:
        return f"supervisor {pid} did not reload: {outcome.failure}; {outcome.consequence}"
    daemons = "1 daemon" if outcome.processes == 1 else f"{outcome.processes} daemons"
    typer.echo(f"reloaded {daemons} of supervisor {pid} in {outcome.seconds:.1f} s")
    return ""
