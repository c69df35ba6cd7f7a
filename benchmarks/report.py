"""The figures of all rounds: as tables for a person, as JSON to keep."""

from __future__ import annotations

import json
import math
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parent / "results"
_DISTURBED = 0.05
_WIDTH = 110


class Column(NamedTuple):
    title: str
    form: str


class Layout(NamedTuple):
    """``lead`` is the column that the comparison with arq is about."""

    title: str
    lead: str
    more_is_better: bool
    columns: dict[str, Column]


LAYOUTS = {
    "backlog": Layout(
        "A backlog of no-op jobs, one worker process, 100 at once; CPU per job",
        "jobs_per_s",
        more_is_better=True,
        columns={
            "jobs_per_s": Column("jobs/s", ",.0f"),
            "worker_us": Column("worker, µs", ",.0f"),
            "valkey_us": Column("Valkey, µs", ",.0f"),
            "postgres_us": Column("Postgres, µs", ",.0f"),
        },
    ),
    "enqueue": Layout(
        "Enqueueing from one process",
        "jobs_per_s",
        more_is_better=True,
        columns={"jobs_per_s": Column("jobs/s", ",.0f")},
    ),
    "latency": Layout(
        "Idle system: from enqueue() to the task's first line",
        "p50_ms",
        more_is_better=False,
        columns={
            "p50_ms": Column("p50, ms", ".2f"),
            "p99_ms": Column("p99, ms", ".2f"),
            "max_ms": Column("max, ms", ".1f"),
        },
    ),
    "import": Layout(
        "A program that enqueues, start to end",
        "whole_ms",
        more_is_better=False,
        columns={"whole_ms": Column("process, ms", ".0f"), "imports_ms": Column("imports, ms", ".0f")},
    ),
}


class Row:
    """One line of a table: per column and round one figure."""

    def __init__(self, beside: str | None) -> None:
        self.beside = beside
        self.figures: dict[str, dict[int, float]] = {}


class Report:
    """What was measured, and what could not be."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.round = 1
        self._say = say
        self.measures: dict[str, dict[str, Row]] = {name: {} for name in LAYOUTS}
        self.failures: list[str] = []

    def add(self, measure: str, name: str, *, beside: str | None = "arq", **figures: float) -> None:
        """Note figures of this round; ``beside`` is the row that they are compared with."""
        row = self.measures[measure].setdefault(name, Row(beside))
        for column, figure in figures.items():
            if not math.isnan(figure):  # this system does not tell
                row.figures.setdefault(column, {})[self.round] = figure
        layout = LAYOUTS[measure]
        look = layout.columns[layout.lead]
        self._say(f"  {name.strip()}: {figures[layout.lead]:{look.form}} {look.title}")

    def failed(self, what: str) -> None:
        self.failures.append(what)
        self._say(f"  not complete: {what}")

    def show(self, others: float) -> None:
        """Print the tables. ``others`` is the part of the CPUs that was not ours to use."""
        console = Console(width=None if sys.stdout.isatty() else _WIDTH)
        for name, rows in self.measures.items():
            if rows:
                console.print(_table(LAYOUTS[name], rows), "")
        console.print("Median (lowest-highest) of the rounds. Ratios are of the same round.", style="dim")
        if others > _DISTURBED:
            console.print(
                f"Other programs used {others:.0%} of the CPUs meanwhile: trust ratios, not rates.", style="yellow"
            )
        for failure in self.failures:
            console.print(f"Not complete: {failure}", style="bold red", markup=False)

    def save(self, facts: dict[str, Any]) -> Path:
        """Write everything to a file of its own, and return its path."""
        RESULTS.mkdir(exist_ok=True)
        now = datetime.now(UTC)
        path = RESULTS / f"{now:%Y-%m-%dT%H-%M-%SZ}.json"
        kept = {
            "ended_at": now.isoformat(timespec="seconds"),
            **facts,
            "figures": {
                measure: {name: row.figures for name, row in rows.items()}
                for measure, rows in self.measures.items()
                if rows
            },
            "failures": self.failures,
        }
        path.write_text(json.dumps(kept, indent=2) + "\n")
        return path


def _table(layout: Layout, rows: dict[str, Row]) -> Table:
    table = Table(title=layout.title, title_justify="left")
    table.add_column()
    for column in layout.columns.values():
        table.add_column(column.title, justify="right")
    table.add_column("speed, arq = 1", justify="right")
    for name, row in rows.items():
        cells = (_cell(row.figures.get(column), look.form) for column, look in layout.columns.items())
        table.add_row(name, *cells, _times_arq(layout, row, rows))
    return table


def _cell(by_round: dict[int, float] | None, form: str) -> str:
    if not by_round:
        return ""
    figures = by_round.values()
    middle = f"{statistics.median(figures):{form}}"
    return middle if len(figures) == 1 else f"{middle} ({min(figures):{form}}-{max(figures):{form}})"


def _times_arq(layout: Layout, row: Row, rows: dict[str, Row]) -> str:
    """Return the median of the rounds' own ratios."""
    other = rows.get(row.beside or "")
    if other is None or other is row:
        return ""
    own, arqs = row.figures[layout.lead], other.figures[layout.lead]
    ratios = [own[n] / arqs[n] if layout.more_is_better else arqs[n] / own[n] for n in own.keys() & arqs.keys()]
    return f"{statistics.median(ratios):.1f}x" if ratios else ""
