"""Measure jobsd beside arq: ``python -m benchmarks [--quick] [--rounds N] [--only backlog,latency]``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import uvloop

from benchmarks import backlog, enqueue, imports, latency, machine
from benchmarks.ground import Ground, a_ground
from benchmarks.machine import Others
from benchmarks.processes import IncompleteError
from benchmarks.report import LAYOUTS, Report
from jobsd.errors import JobsdError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_INTERRUPTED = 130
_STEP_WITHIN_S = 180.0


class Step(NamedTuple):
    """One measurement of one system; ``size`` is how many jobs (or runs), ``quick_size`` with ``--quick``."""

    measure: str
    name: str
    run: Callable[[Ground, Report, int], Awaitable[None]]
    size: int
    quick_size: int


# arq has fewer jobs in the backlog, or it would take most of the time: its rate is the same with 50,000.
STEPS = [
    Step("backlog", "jobsd", backlog.measure_jobsd, 50_000, 10_000),
    Step("backlog", "jobsd, recording", backlog.measure_jobsd_recording, 50_000, 10_000),
    Step("backlog", "arq", backlog.measure_arq, 8_000, 2_000),
    Step("enqueue", "jobsd and arq", enqueue.measure, 3_000, 1_000),
    Step("latency", "jobsd", latency.measure_jobsd, 300, 100),
    Step("latency", "arq", latency.measure_arq, 300, 100),
    Step("import", "jobsd and arq", imports.measure, 5, 2),
]


async def main(rounds: int, only: list[str], *, quick: bool) -> int:
    """Return the exit code: 1 if anything that was begun did not complete."""
    began = time.monotonic()
    running = asyncio.current_task()
    assert running
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    report, steps = Report(_say), [step for step in STEPS if step.measure in only]
    _say("starting Valkey and Postgres")
    async with a_ground() as ground:
        others = Others(ground)
        for report.round in range(1, rounds + 1):
            for step in steps:
                _say(f"round {report.round} of {rounds}: {step.measure}, {step.name}, {_size(step, quick):,}")
                await _take(step, ground, report, _size(step, quick))
        facts = {
            "machine": machine.facts(),
            "others_share": round(others.share(), 3),
            "versions": machine.versions() | await ground.versions(),
            "rounds": rounds,
            "sizes": {f"{step.measure}, {step.name}": _size(step, quick) for step in steps},
        }
    _say(f"took {time.monotonic() - began:.0f} s\n")
    report.show(facts["others_share"])
    _say(f"all figures: {report.save(facts)}")
    return 1 if report.failures else 0


async def _take(step: Step, ground: Ground, report: Report, size: int) -> None:
    try:
        async with asyncio.timeout(_STEP_WITHIN_S):
            await step.run(ground, report, size)
    except (IncompleteError, TimeoutError, JobsdError) as error:
        report.failed(f"{step.measure}, {step.name}, round {report.round}: {error or 'out of time'}")


def _size(step: Step, quick: bool) -> int:
    return step.quick_size if quick else step.size


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _measures(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in LAYOUTS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(LAYOUTS)}")
    return names


def _rounds(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=_rounds, help="how often everything is measured (3; with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="fewer jobs, in under a minute")
    parser.add_argument("--only", type=_measures, default=list(LAYOUTS), metavar=",".join(LAYOUTS))
    return parser.parse_args()


if __name__ == "__main__":
    chosen = _options()
    try:
        code = uvloop.run(main(chosen.rounds or (1 if chosen.quick else 3), chosen.only, quick=chosen.quick))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("interrupted; the servers are stopped")
        code = _INTERRUPTED
    except JobsdError as error:
        _say(str(error))
        code = 1
    sys.exit(code)
