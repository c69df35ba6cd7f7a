"""Figures and targets as tables: of cells, which a terminal and a page show each in its own way."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figures, middle, ratios, spread
from benchmarks.judging import judge
from benchmarks.layouts import LAYOUTS, compared_with
from benchmarks.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator

_DISTURBED = 0.05
_WIDTH = 120
_COLOURS = {"stretch": "bold green", "yes": "green", "no": "bold red"}


class Cells(NamedTuple):
    title: str
    head: list[str]
    rows: list[list[str]]


def tables(figures: Figures) -> Iterator[Cells]:
    """Yield the figures of each measure, as far as there are any."""
    for measure in LAYOUTS:
        if figures.rows(measure):
            yield _measured(figures, measure)


def targets(figures: Figures) -> Cells:
    rows = [[each.what, each.found, each.bound, each.stretch, each.reached] for each in judge(figures, TARGETS)]
    return Cells("Targets", ["", "found", "target", "stretch", "reached"], rows)


def show(run: dict[str, Any]) -> None:
    """Print a run as it is kept."""
    figures = Figures(run["figures"])
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    for cells in (*tables(figures), targets(figures)):
        if cells.rows:
            console.print(cells.title, style="bold")
            console.print(_of_rich(cells), "")
    said = "Median (lowest-highest) of the rounds. Ratios are of the same round."
    console.print(said + (" Sizes are --quick: targets are only hinted at." if run["quick"] else ""), style="dim")
    if run["others_share"] > _DISTURBED:
        disturbed = f"Other programs used {run['others_share']:.0%} of the CPUs meanwhile: trust ratios, not rates."
        console.print(disturbed, style="yellow")
    for failure in run["failures"]:
        console.print(f"Not complete: {failure}", style="bold red", markup=False)


def _measured(figures: Figures, measure: str) -> Cells:
    layout = LAYOUTS[measure]
    columns = [
        name for name in layout.columns if any(figures.by_round(measure, row, name) for row in figures.rows(measure))
    ]
    head = ["", *(layout.columns[name].title for name in columns), layout.against]
    rows = [
        [
            row,
            *(spread(figures.by_round(measure, row, name), layout.columns[name].form) for name in columns),
            _beside(figures, measure, row),
        ]
        for row in figures.rows(measure)
    ]
    compared = 0 if any(row[-1] for row in rows) else -1
    return Cells(layout.title, head[: compared or None], [row[: compared or None] for row in rows])


def _beside(figures: Figures, measure: str, row: str) -> str:
    """Return how many times as fast as the other row; the median of the rounds' own ratios."""
    layout, other = LAYOUTS[measure], compared_with(measure, row)
    if other is None:
        return ""
    own, theirs = (figures.by_round(measure, which, layout.lead) for which in (row, other))
    found = ratios(own, theirs) if layout.more_is_better else ratios(theirs, own)
    return f"{middle(found):.2g}x" if found and middle(found) < 1 else f"{middle(found):.1f}x" if found else ""


def _of_rich(cells: Cells) -> Table:
    table = Table()
    for number, title in enumerate(cells.head):
        table.add_column(title, justify="right" if number else "left")
    for row in cells.rows:
        table.add_row(*row[:-1], row[-1], style=_COLOURS.get(row[-1]))
    return table
