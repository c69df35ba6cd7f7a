"""How much memory a process has, and the most that it may have. What only Linux can do is not done elsewhere."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

_LINUX = sys.platform == "linux"
_RUSAGE_UNIT = 1024 if _LINUX else 1
_STATUS = Path("/proc/self/status")
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def peak_of(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * _RUSAGE_UNIT


def own_peak() -> int:
    """Return the most memory that this process ever had, in bytes.

    Not by rusage, which begins with what the parent had when it started this one.
    """
    return _of_status("VmHWM") or peak_of(resource.getrusage(resource.RUSAGE_SELF))


def inherited_peak() -> int:
    """Return the peak that rusage tells of a process that has done nothing yet: its parent's, perhaps."""
    return peak_of(resource.getrusage(resource.RUSAGE_SELF))


def machine_memory() -> int:
    """Return the bytes that this machine has, or its control group may use."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(_CGROUP.read_text()))
    return total


@contextlib.contextmanager
def at_most(limit_bytes: int | None) -> Generator[None]:
    """Allow this process so much more than it has, meanwhile; what asks for more gets a MemoryError."""
    if limit_bytes is None or not _LINUX:
        yield
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = _of_status("VmData") + limit_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def die_first() -> None:
    """Let the kernel, when memory runs out, kill this process rather than the worker."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _of_status(name: str) -> int:
    """Return a field of /proc/self/status in bytes; 0 where there is none."""
    try:
        text = _STATUS.read_text()
    except OSError:
        return 0
    found = next((row for row in text.splitlines() if row.startswith(f"{name}:")), None)
    return int(found.split()[1]) * 1024 if found else 0
