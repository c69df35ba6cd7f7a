"""The CPU that another process has used, as the system accounts for it."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and its children, those that have ended and those that live."""
    try:
        _, own, reaped = _times(pid)
    except (OSError, ValueError, AttributeError):  # gone, or a system without /proc
        return float("nan")
    total = own + reaped
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                parent, used, _ = _times(int(entry.name))
            except (OSError, ValueError):
                continue  # it ended meanwhile
            total += used if parent == pid else 0
    return total


def _times(pid: int) -> tuple[int, float, float]:
    """Return the parent's pid, the process's own CPU seconds, and those of children that it has waited for."""
    # The name in parentheses may hold blanks; what follows it never does. See proc(5), fields 4 and 14 to 17.
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    tick = os.sysconf("SC_CLK_TCK")
    user, system, reaped_user, reaped_system = (int(field) / tick for field in fields[11:15])
    return int(fields[1]), user + system, reaped_user + reaped_system
