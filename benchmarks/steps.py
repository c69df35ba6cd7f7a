"""What is measured, in the order of a round."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks import (
    backlog,
    delayed,
    enqueue,
    hog,
    idle,
    imports,
    latency,
    lateness,
    limits,
    long,
    memory,
    promises,
    recorder,
    schedules,
    sleep,
    unkept,
    workers,
)
from benchmarks.layouts import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.ground import Ground
    from benchmarks.report import Report


class Step(NamedTuple):
    """One measurement of one system; ``size`` is how much of it, ``quick_size`` with ``--quick``, both in ``unit``.

    What is the same whenever it is measured is measured ``once``, in the first round.
    """

    measure: str
    name: str
    run: Callable[[Ground, Report, int], Awaitable[None]]
    size: int
    quick_size: int
    unit: str = "jobs"
    once: bool = False
    within_s: float = 180.0


LONG, LIMITS, HOG, SCHEDULES, LATENESS = "long", "limits", "hog", "schedules", "lateness"

# arq has fewer jobs in the backlog, or it would take most of the time: its rate is the same with 50,000, which
# the long measure shows.
STEPS = [
    Step("backlog", "jobsd", backlog.measure_jobsd, 50_000, 20_000),
    Step("backlog", "jobsd, recording", backlog.measure_jobsd_recording, 50_000, 20_000),
    Step("backlog", "arq", backlog.measure_arq, 12_000, 4_000),
    Step("recorder", "jobsd", recorder.measure, 200_000, 50_000, "rows"),
    Step("unkept", "jobsd", unkept.measure_jobsd, 50_000, 20_000),
    Step("unkept", "arq", unkept.measure_arq, 12_000, 4_000),
    Step("latency", "jobsd", latency.measure_jobsd, 300, 100),
    Step("latency", "arq", latency.measure_arq, 300, 100),
    Step("delayed", "jobsd", delayed.measure_jobsd, 500, 100),
    Step("delayed", "arq", delayed.measure_arq, 500, 100),
    Step("sleep", "jobsd", sleep.measure_jobsd, 60, 20, "jobs for each slot"),
    Step("sleep", "arq", sleep.measure_arq, 60, 20, "jobs for each slot, or fewer"),
    Step("enqueue", "jobsd and arq", enqueue.measure, 3_000, 1_000),
    Step("workers", "jobsd", workers.measure, 60_000, 20_000),
    Step("import", "jobsd and arq", imports.measure, 5, 2, "starts"),
    Step("memory", "jobsd", memory.measure_jobsd, 100_000, 100_000, once=True),
    Step("memory", "arq", memory.measure_arq, 100_000, 100_000, once=True),
    Step("idle", "jobsd", idle.measure_jobsd, 20, 8, "seconds", once=True),
    Step("idle", "arq", idle.measure_arq, 5, 3, "seconds", once=True),
    Step("promises", promises.PLAIN, promises.measure_plain, 16_000, 8_000),
    Step("promises", promises.OUTBOX, promises.measure_outbox, 8_000, 4_000),
    Step("promises", promises.WRITE, promises.measure_write, 2_000, 1_000),
    Step("promises", promises.TRANSACTION, promises.measure_transaction, 2_000, 1_000),
    Step("promises", promises.STEP, promises.measure_step, 2_000, 1_000),
    Step("promises", promises.STEP_TRANSACTION, promises.measure_step_transaction, 2_000, 1_000),
    Step(LIMITS, limits.FREE, limits.measure_free, 50_000, 10_000),
    Step(LIMITS, "concurrency", limits.measure_concurrency, 50_000, 10_000),
    Step(LIMITS, "rate", limits.measure_rate, 50_000, 10_000),
    Step(LIMITS, "limit keys", limits.measure_keys, 50_000, 10_000),
    Step(HOG, hog.OUTSIDE, hog.measure_outside, 10, 4, "seconds"),
    Step(HOG, "in a child process", hog.measure_child, 10, 4, "seconds"),
    Step(HOG, "in a thread", hog.measure_thread, 10, 4, "seconds"),
    Step(SCHEDULES, schedules.DECLARED, schedules.measure_declared, 300, 60, "seconds", within_s=700),
    Step(SCHEDULES, schedules.RUN_TIME, schedules.measure_run_time, 300, 60, "seconds", within_s=700),
    Step(SCHEDULES, schedules.REDIS, schedules.measure_redis, 300, 60, "seconds", within_s=700),
    Step(LATENESS, lateness.RECORDED, lateness.measure_recorded, 120, 60, "seconds", within_s=200),
    Step(LATENESS, lateness.REDIS, lateness.measure_redis, 120, 60, "seconds", within_s=200),
    Step(LONG, "jobsd", long.measure_jobsd, 50_000, 10_000),
    Step(LONG, "jobsd, a million", long.measure_jobsd_million, 1_000_000, 100_000, within_s=900),
    Step(LONG, "jobsd, recording", long.measure_recording, 50_000, 10_000),
    Step(LONG, "jobsd, recording, a million", long.measure_recording_million, 1_000_000, 100_000, within_s=900),
    Step(LONG, "arq", long.measure_arq, 50_000, 4_000),
]

STANDARD = [measure for measure in LAYOUTS if measure not in {LONG, LIMITS, HOG, SCHEDULES, LATENESS}]
