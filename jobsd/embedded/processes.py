"""Which process a number in a pid file means. Pids are used again, so its command line has to say so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def pid_in(file: Path) -> int | None:
    """Return the pid in the first line of ``file``; None when there is none."""
    try:
        return int(file.read_text(errors="replace").split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def command_line(pid: int) -> str:
    """Return the command line of ``pid``; empty for a zombie, or when there is no such process."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="surrogateescape")
        except OSError:
            return ""
    shown = subprocess.run(  # noqa: S603 - fixed words and a number
        ["/bin/ps", "-ww", "-p", str(pid), "-o", "command="], capture_output=True, check=False, timeout=5
    )
    return shown.stdout.decode(errors="surrogateescape")


def is_about(pid: int, *places: Path) -> bool:
    """Whether the command line of ``pid`` names one of these places."""
    line = command_line(pid)
    return any(str(place) in line for place in places)


def exists(pid: int) -> bool:
    """Whether ``pid`` means anything now; a zombie counts, as it does for those who ask with signal 0."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
