"""How a process stops itself at a place of the program, when the run wants one to: as SIGSTOP does, but just there.

The run puts a file with the place's name into CHAOS_HALTS; the first process that comes by removes it, leaves one that
says which job it was at, and stops.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

HALTS = "CHAOS_HALTS"
_CHILD = "jobsd.daemon.child"


def halted_at(directory: Path, place: str) -> Path:
    """Return the file that says at which job a process halted last."""
    return directory / f"{place}.halted"


def halt(place: str, key: str = "") -> None:
    """Stop here, if it is wanted, until SIGCONT comes. A worker's child does not: only a whole daemon is to stop."""
    directory = os.environ.get(HALTS)
    if not directory or getattr(sys.modules["__main__"].__spec__, "name", "") == _CHILD:
        return
    try:
        os.unlink(os.path.join(directory, place))  # noqa: PTH108, PTH118 - each job comes here
    except FileNotFoundError:
        return
    halted_at(Path(directory), place).write_text(key, "ascii")
    signal.raise_signal(signal.SIGSTOP)
