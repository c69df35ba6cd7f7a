"""What the tables look like: a title, the columns, and which row is compared with which."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Column(NamedTuple):
    title: str
    form: Callable[[float], str]


class Layout(NamedTuple):
    """``lead`` is the column that the comparison is about, ``beside`` the row that a row is compared with."""

    title: str
    lead: str
    columns: dict[str, Column]
    more_is_better: bool = True
    beside: dict[str, str] = {}  # noqa: RUF012 - never changed
    others_beside: str | None = "arq"
    against: str = "arq = 1"


_BACKLOG = {
    "jobs_per_s": Column("jobs/s", "{:,.0f}".format),
    "worker_us": Column("worker, µs", "{:,.0f}".format),
    "valkey_us": Column("Valkey, µs", "{:,.0f}".format),
    "postgres_us": Column("Postgres, µs", "{:,.0f}".format),
    "commands": Column("commands", "{:.1f}".format),
}
_LATENCY = {
    "p50_ms": Column("p50, ms", "{:.2f}".format),
    "p99_ms": Column("p99, ms", "{:.2f}".format),
    "max_ms": Column("max, ms", "{:.1f}".format),
}
_IN_TURN, _AT_ONCE = "arq, one after another", "arq, 100 callers at once"

LAYOUTS = {
    "backlog": Layout(
        "A backlog of no-op jobs, one worker process, 100 at once; per job: CPU, and commands that Valkey carries out",
        "jobs_per_s",
        _BACKLOG,
    ),
    "recorder": Layout(
        "A recorder that only records, and the keeper of its ledger; CPU per row",
        "jobs_per_s",
        {
            "jobs_per_s": Column("rows/s", "{:,.0f}".format),
            "worker_us": Column("recorder, µs", "{:,.0f}".format),
            "valkey_us": _BACKLOG["valkey_us"],
            "postgres_us": _BACKLOG["postgres_us"],
        },
        others_beside=None,
    ),
    "unkept": Layout(
        "The same without records, and results are not kept",
        "jobs_per_s",
        {name: column for name, column in _BACKLOG.items() if name != "postgres_us"},
    ),
    "latency": Layout("Idle system: from enqueue() to the task's first line", "p50_ms", _LATENCY, more_is_better=False),
    "delayed": Layout(
        "Delayed jobs: from the due time to the task's first line",
        "p50_ms",
        {**_LATENCY, "least_ms": Column("least, ms", "{:.2f}".format), "early": Column("too early", "{:.0f}".format)},
        more_is_better=False,
    ),
    "sleep": Layout(
        "Jobs that sleep 50 ms, one worker process",
        "jobs_per_s",
        {"jobs_per_s": Column("jobs/s", "{:,.0f}".format), "ideal": Column("of the ideal", "{:.1%}".format)},
        beside={f"jobsd, {at_once} at once": f"arq, {at_once} at once" for at_once in ("10", "100", "1,000")},
        others_beside=None,
    ),
    "enqueue": Layout(
        "Enqueueing from one process",
        "jobs_per_s",
        {"jobs_per_s": Column("jobs/s", "{:,.0f}".format), "alone": Column("redis-py alone = 1", "{:.2f}".format)},
        beside={"jobsd, 100 callers at once": _AT_ONCE, "jobsd, enqueue_many": _AT_ONCE, _AT_ONCE: _AT_ONCE},
        others_beside=_IN_TURN,
    ),
    "memory": Layout(
        "Valkey's memory for a no-op job that waits",
        "bytes",
        {"bytes": Column("bytes/job", "{:,.0f}".format)},
        more_is_better=False,
        against="less than arq",
    ),
    "idle": Layout(
        "A worker that has nothing to do, and its recorder",
        "round_trips",
        {"round_trips": Column("commands sent/s", "{:.1f}".format), "cpu": Column("worker's CPU", "{:.2%}".format)},
        more_is_better=False,
        against="fewer than arq",
    ),
    "workers": Layout(
        "Several worker processes on one queue, a backlog of no-op jobs",
        "jobs_per_s",
        {
            "jobs_per_s": Column("jobs/s", "{:,.0f}".format),
            "fewest": Column("fewest jobs of one", "{:,.0f}".format),
            "twice": Column("run twice", "{:.0f}".format),
        },
        beside={"2 processes": "1 process", "8 processes": "1 process"},
        others_beside=None,
        against="1 process = 1",
    ),
    "import": Layout(
        "A program that enqueues, start to end",
        "whole_ms",
        {"whole_ms": Column("process, ms", "{:.0f}".format), "imports_ms": Column("imports, ms", "{:.0f}".format)},
        more_is_better=False,
        beside={
            "jobsd, imported": "arq, imported",
            "jobsd, first job enqueued": "arq, first job enqueued",
        },
        others_beside=None,
    ),
    "limits": Layout(
        "Limits that never bite: a backlog of no-op jobs, one worker process, 100 at once; CPU per job",
        "both_us",
        {
            **{name: _BACKLOG[name] for name in ("jobs_per_s", "worker_us", "valkey_us")},
            "both_us": Column("both, µs", "{:.1f}".format),
        },
        more_is_better=False,
        others_beside="no limit",
        against="no limit = 1",
    ),
    "promises": Layout(
        "The price of each promise: no-op jobs, all recorded, one worker process, 100 at once; CPU per job",
        "jobs_per_s",
        {
            **{name: _BACKLOG[name] for name in ("jobs_per_s", "worker_us", "valkey_us", "postgres_us")},
            "all_us": Column("all three, µs", "{:,.0f}".format),
            "put_per_s": Column("put in/s", "{:,.0f}".format),
            "put_us": Column("putting in, µs", "{:,.0f}".format),
        },
        others_beside="no promise",
        against="no promise = 1",
    ),
    "hog": Layout(
        "1,000 no-op jobs a second beside one that takes a CPU: from enqueue() to the task's first line",
        "p99_ms",
        {**_LATENCY, "killed_late_ms": Column("killed after its timeout, ms", "{:.0f}".format)},
        more_is_better=False,
        others_beside="the hog outside of jobsd",
        against="outside = 1",
    ),
    "schedules": Layout(
        "10,000 schedules in one daemon: planned, ticks (the longest, and what held the loop), all due at once, memory",
        "start_ms",
        {
            "start_ms": Column("planned, ms", "{:,.0f}".format),
            "start_held_ms": Column("held, ms", "{:,.0f}".format),
            "idle_tick_ms": Column("idle tick, ms", "{:,.1f}".format),
            "idle_held_ms": Column("held, ms", "{:,.1f}".format),
            "due_tick_ms": Column("busy tick, ms", "{:,.0f}".format),
            "due_held_ms": Column("held, ms", "{:,.0f}".format),
            "fired_s": Column("all fired, s", "{:,.2f}".format),
            "jobs_s": Column("all jobs, s", "{:,.2f}".format),
            "rss_early_mib": Column("early, MiB", "{:,.1f}".format),
            "rss_late_mib": Column("late, MiB", "{:,.1f}".format),
        },
        more_is_better=False,
        others_beside=None,
    ),
    "lateness": Layout(
        "100 schedules that are due once a minute, an idle daemon: from the due time to the task's first line",
        "p50_ms",
        {**_LATENCY, "early": Column("too early", "{:.0f}".format)},
        more_is_better=False,
        others_beside=None,
    ),
    "long": Layout(
        "A long backlog of no-op jobs, one worker process; CPU per job, and memory after a twentieth and at the end",
        "jobs_per_s",
        {
            **{name: _BACKLOG[name] for name in ("jobs_per_s", "worker_us", "valkey_us")},
            "rss_early_mib": Column("early, MiB", "{:,.1f}".format),
            "rss_late_mib": Column("late, MiB", "{:,.1f}".format),
        },
        beside={"jobsd, a million": "jobsd", "jobsd, recording, a million": "jobsd, recording"},
        others_beside=None,
        against="50,000 = 1",
    ),
}


def compared_with(measure: str, row: str) -> str | None:
    """Return the other row, or None for one that is not compared."""
    layout = LAYOUTS[measure]
    other = layout.beside.get(row, layout.others_beside)
    return None if other == row else other
