"""What is to be reached: each target names its figures in the tables, a bound and a stretch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.figures import ratios
from benchmarks.judging import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.figures import ByRound, Figures
    from benchmarks.judging import Way

    Form = Callable[[float], str]


_RECORDING, _MILLION, _MILLION_RECORDING = "jobsd, recording", "jobsd, a million", "jobsd, recording, a million"
_WHOLE, _TENTHS, _HUNDREDTHS = "{:,.0f}".format, "{:.1f}".format, "{:.2f}".format
_PERCENT, _FINE_PERCENT = "{:.1%}".format, "{:.2%}".format


def _plain(measure: str, row: str, column: str) -> Way:
    return lambda figures: figures.by_round(measure, row, column)


def _ratio(measure: str, column: str, over: str, under: str) -> Way:
    """The row ``over`` divided by the row ``under``, in each round."""
    return lambda figures: ratios(figures.by_round(measure, over, column), figures.by_round(measure, under, column))


def _times(measure: str, row: str, what: str, bound: float, stretch: float) -> Target:
    way = _ratio(measure, "jobs_per_s", row, "arq")
    return Target(measure, what, way, at_least=True, bound=bound, stretch=stretch, form="{:.1f}x".format)


def _part(measure: str, column: str, what: str, bound: float, stretch: float) -> Target:
    """CPU as a part of arq's: 13 is a thirteenth."""
    way = _ratio(measure, column, "jobsd", "arq")
    return Target(measure, what, way, at_least=False, bound=1 / bound, stretch=1 / stretch, form=_as_part)


def _as_part(ratio: float) -> str:
    """Return such a ratio as it is said.

    >>> _as_part(0.08)
    '1/12.5'
    """
    return f"1/{1 / ratio:.1f}" if ratio else "0"


def _most(measure: str, row: str, column: str, what: str, bound: float, stretch: float | None, form: Form) -> Target:
    way = _plain(measure, row, column)
    return Target(measure, what, way, at_least=False, bound=bound, stretch=stretch, form=form)


def _least(measure: str, row: str, column: str, what: str, bound: float, stretch: float | None, form: Form) -> Target:
    way = _plain(measure, row, column)
    return Target(measure, what, way, at_least=True, bound=bound, stretch=stretch, form=form)


def _never(measure: str, row: str, column: str, what: str) -> Target:
    """Not once, in all rounds together: here a median would hide what must not happen."""

    def total(figures: Figures) -> ByRound:
        found = figures.by_round(measure, row, column)
        return {0: sum(found.values())} if found else {}

    return Target(measure, what, total, at_least=False, bound=0, stretch=None, form=_WHOLE)


def _kept(bound: float, stretch: float) -> Target:
    way = _ratio("backlog", "jobs_per_s", _RECORDING, "jobsd")
    what = "backlog: jobs/s with records on, of those with records off"
    return Target("backlog", what, way, at_least=True, bound=bound, stretch=stretch, form=_PERCENT)


def _grown_alone(measure: str, row: str) -> Way:
    late, early = "rss_late_mib", "rss_early_mib"
    return lambda found: ratios(found.by_round(measure, row, late), found.by_round(measure, row, early))


def _grown(row: str, over: str, under: str) -> Way:
    return lambda figures: ratios(figures.by_round("long", row, over), figures.by_round("long", row, under))


def _flat(what: str, way: Way, bound: float) -> Target:
    return Target("long", what, way, at_least=False, bound=bound, stretch=None, form="{:.2f}x".format)


def _beside_one(row: str, bound: float) -> Target:
    way = _ratio("workers", "jobs_per_s", row, "1 process")
    return Target(
        "workers", f"{row}: jobs/s beside one", way, at_least=True, bound=bound, stretch=None, form="{:.2f}x".format
    )


def _no_dearer(row: str) -> Target:
    way = _ratio("limits", "both_us", row, "no limit")
    what = f"{row} that never bites: CPU per job beside none"
    return Target("limits", what, way, at_least=False, bound=1.05, stretch=None, form="{:.3f}x".format)


def _later(row: str, bound: float) -> Target:
    """How much later than beside the same computation outside of jobsd, in each round."""

    def found(figures: Figures) -> ByRound:
        outside, inside = (figures.by_round("hog", name, "p99_ms") for name in ("the hog outside of jobsd", row))
        return {number: inside[number] - outside[number] for number in inside.keys() & outside.keys()}

    what = f"a CPU-bound job {row}: p99 of the others, ms more than beside one outside"
    return Target("hog", what, found, at_least=False, bound=bound, stretch=None, form="{:.1f}".format)


def _schedules() -> list[Target]:
    found: list[Target] = []
    for row in ("declared", "of run time", "declared, Redis alone"):
        for column, what, bound in (
            ("start_ms", "until all are planned, ms", 2000),
            ("idle_tick_ms", "an idle tick, ms", 50),
            ("due_held_ms", "loop held in a tick, ms", 50),
        ):
            found.append(_most("schedules", row, column, f"10,000 schedules {row}: {what}", bound, None, _WHOLE))
        way = _grown_alone("schedules", row)
        what = f"10,000 schedules {row}: memory, late beside early"
        found.append(Target("schedules", what, way, at_least=False, bound=1.05, stretch=None, form="{:.2f}x".format))
    rows = "100 schedules, recorded", "100 schedules, Redis alone"
    return found + [_most("lateness", row, "p99_ms", f"{row}: p99 of lateness, ms", 100, None, _TENTHS) for row in rows]


TARGETS = [
    _times("backlog", _RECORDING, "backlog, records on: jobs/s beside arq's", 8, 12),
    _times("backlog", "jobsd", "backlog, records off: jobs/s beside arq's", 12, 16),
    _kept(0.55, 0.70),
    _least("recorder", "jobsd", "jobs_per_s", "a recorder alone: rows/s", 25_000, None, _WHOLE),
    _part("backlog", "worker_us", "CPU per job beside arq's: worker", 13, 16),
    _part("backlog", "valkey_us", "CPU per job beside arq's: Valkey", 4.5, 5),
    _part("unkept", "valkey_us", "CPU per job beside arq's: Valkey, no results", 6, 7),
    _most("latency", "jobsd", "p50_ms", "pick-up when idle: p50, ms", 1.8, 1.2, _HUNDREDTHS),
    _most("latency", "jobsd", "p99_ms", "pick-up when idle: p99, ms", 5, 2.5, _HUNDREDTHS),
    _most("delayed", "jobsd", "p99_ms", "delayed jobs: p99 of lateness, ms", 10, None, _HUNDREDTHS),
    _never("delayed", "jobsd", "early", "delayed jobs: begun too early"),
    _least("sleep", "jobsd, 100 at once", "ideal", "50 ms jobs, 100 at once: of 2,000/s", 0.90, 0.95, _PERCENT),
    _least("sleep", "jobsd, 1,000 at once", "ideal", "50 ms jobs, 1,000 at once: of 20,000/s", 0.55, 0.75, _PERCENT),
    _least("enqueue", "jobsd, one after another", "alone", "enqueue in turn: redis-py = 1", 0.85, None, _HUNDREDTHS),
    _least("enqueue", "jobsd, 100 callers at once", "alone", "enqueue by 100: redis-py = 1", 6, 9, _HUNDREDTHS),
    _least("enqueue", "jobsd, enqueue_many", "jobs_per_s", "enqueue_many: jobs/s", 60_000, 100_000, _WHOLE),
    _most("memory", "jobsd", "bytes", "Valkey's memory per queued job, bytes", 380, 300, _WHOLE),
    _most("idle", _RECORDING, "round_trips", "idle worker: commands sent/s", 6, None, _TENTHS),
    _most("idle", _RECORDING, "cpu", "idle worker: CPU", 0.01, None, _FINE_PERCENT),
    _beside_one("2 processes", 1.0),
    _beside_one("8 processes", 0.8),
    _never("workers", "2 processes", "twice", "2 processes: jobs run twice"),
    _never("workers", "8 processes", "twice", "8 processes: jobs run twice"),
    _no_dearer("concurrency"),
    _no_dearer("rate"),
    _no_dearer("limit keys"),
    _later("in a child process", 5),
    _most(
        "hog",
        "in a child process",
        "killed_late_ms",
        "a CPU-bound job: killed after its timeout, ms",
        1000,
        None,
        _WHOLE,
    ),
    *_schedules(),
    _flat("a million: worker's CPU per job beside 50,000", _ratio("long", "worker_us", _MILLION, "jobsd"), 1.15),
    _flat("a million: Valkey's CPU per job beside 50,000", _ratio("long", "valkey_us", _MILLION, "jobsd"), 1.15),
    _flat("a million: worker's memory, late beside early", _grown(_MILLION, "rss_late_mib", "rss_early_mib"), 1.1),
    _flat("a million, recording: the same", _grown(_MILLION_RECORDING, "rss_late_mib", "rss_early_mib"), 1.1),
]
