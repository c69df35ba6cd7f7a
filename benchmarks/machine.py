"""What the figures were measured on, and how much of it somebody else was using."""

from __future__ import annotations

import os
import platform
import resource
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.ground import Ground

_LIBRARIES = ("jobsd", "arq", "redis", "hiredis", "uvloop", "asyncpg", "pydantic")
_STAT = Path("/proc/stat")


def facts() -> dict[str, Any]:
    return {
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "processor": _processor(),
        "cpus": os.cpu_count(),
    }


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


class Others:
    """The CPU that neither we, nor the processes we started, nor our servers have used."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._began = time.monotonic()
        self._busy_s, self._own_s = _busy_s(), _own_s(ground)

    def share(self) -> float:
        """Return their part of all CPUs since the beginning, 0 to 1; nan where the system does not tell."""
        others_s = (_busy_s() - self._busy_s) - (_own_s(self._ground) - self._own_s)
        return max(0.0, others_s / (time.monotonic() - self._began) / (os.cpu_count() or 1))


def _busy_s() -> float:
    """Return the seconds that all CPUs have worked since the system's start, those of other guests among them."""
    try:
        user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, _STAT.read_text().split()[1:11])
    except (OSError, ValueError):
        return float("nan")
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_s(ground: Ground) -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used) + sum(ground.cpu())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
