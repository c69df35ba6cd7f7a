"""What the tests of an application need: its tasks run in place, its jobs captured, a worker, a clock to move.

    running.py      run: a task in place, as a worker would run it
    capturing.py    capture: jobs taken in the place of Redis
    captured.py     what was captured, to look at, compare and run
    differences.py  two calls side by side
    idle.py         worker: one that runs until it is idle
    ran.py          what it has run
    moving.py       movable_clock: time that a test moves
    valkey.py       a Valkey of the tests' own
    serving.py      the process that has it
    plugin.py       all of it as pytest's fixtures

``run`` and ``capture`` need no server. Importing this, or the plugin, costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobsd.hooks import overridden
    from jobsd.testing.captured import CapturedJob, CapturedJobs
    from jobsd.testing.capturing import capture
    from jobsd.testing.idle import IdleWorker, worker
    from jobsd.testing.moving import Clock, movable_clock
    from jobsd.testing.ran import JobRun, Ran
    from jobsd.testing.running import Run, run

_HOMES = {
    "CapturedJob": "testing.captured",
    "CapturedJobs": "testing.captured",
    "Clock": "testing.moving",
    "IdleWorker": "testing.idle",
    "JobRun": "testing.ran",
    "Ran": "testing.ran",
    "Run": "testing.running",
    "capture": "testing.capturing",
    "movable_clock": "testing.moving",
    "overridden": "hooks",
    "run": "testing.running",
    "worker": "testing.idle",
}

__all__ = [
    "CapturedJob",
    "CapturedJobs",
    "Clock",
    "IdleWorker",
    "JobRun",
    "Ran",
    "Run",
    "capture",
    "movable_clock",
    "overridden",
    "run",
    "worker",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'jobsd.testing' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"jobsd.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
