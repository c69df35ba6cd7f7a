"""The rounds of a run: every step in turn, then again, so that both systems have the same hour of the machine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from benchmarks import machine
from benchmarks.ground import a_ground
from benchmarks.machine import Others
from benchmarks.processes import IncompleteError
from benchmarks.report import Report
from benchmarks.steps import STEPS
from jobsd.errors import JobsdError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.ground import Ground
    from benchmarks.steps import Step


async def run(rounds: int, only: list[str], say: Callable[[str], None], *, quick: bool, tcp: bool) -> dict[str, Any]:
    """Measure, and return everything that there is to keep."""
    report, steps = Report(say), [step for step in STEPS if step.measure in only]
    say("starting Valkey and Postgres")
    async with a_ground(tcp=tcp) as ground:
        others = Others(ground)
        for report.round in range(1, rounds + 1):
            for step in steps:
                if report.round > 1 and step.once:
                    continue
                size = step.quick_size if quick else step.size
                say(f"round {report.round} of {rounds}: {step.measure}, {step.name}, {size:,} {step.unit}")
                await _take(step, ground, report, size)
        return report.as_json(
            {
                "quick": quick,
                "valkey_by": "TCP" if tcp else "socket",
                "rounds": rounds,
                "machine": machine.facts(),
                "others_share": round(others.share(), 3),
                "versions": machine.versions() | await ground.versions(),
                "sizes": {f"{step.measure}, {step.name}": step.quick_size if quick else step.size for step in steps},
            }
        )


async def _take(step: Step, ground: Ground, report: Report, size: int) -> None:
    try:
        async with asyncio.timeout(step.within_s):
            await step.run(ground, report, size)
    except (IncompleteError, TimeoutError, JobsdError) as error:
        report.failed(f"{step.measure}, {step.name}, round {report.round}: {error or 'out of time'}")
