"""What a run finds out: said as it comes, kept as one JSON file."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figures
from benchmarks.judging import judge
from benchmarks.layouts import LAYOUTS
from benchmarks.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Report:
    """What was measured, and what could not be."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.round = 1
        self.figures = Figures()
        self.samples: dict[str, dict[str, list[float]]] = {}
        """Single values, where a picture is made of them: of each measure rows, all rounds together."""
        self.failures: list[str] = []
        self._say = say

    def add(self, measure: str, row: str, **figures: float) -> None:
        """Note figures of this round."""
        for column, figure in figures.items():
            if not math.isnan(figure):  # this system does not tell
                self.figures.add(measure, row, column, self.round, figure)
        layout = LAYOUTS[measure]
        column = layout.columns[layout.lead]
        self._say(f"  {row.strip()}: {column.form(figures[layout.lead])} {column.title}")

    def keep(self, measure: str, row: str, values: list[float]) -> None:
        """Keep single values beside the figures made of them."""
        self.samples.setdefault(measure, {}).setdefault(row, []).extend(round(value, 4) for value in values)

    def failed(self, what: str) -> None:
        self.failures.append(what)
        self._say(f"  not complete: {what}")

    def as_json(self, facts: dict[str, Any]) -> dict[str, Any]:
        return {
            "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
            **facts,
            "targets": [verdict._asdict() for verdict in judge(self.figures, TARGETS)],
            "figures": self.figures.all,
            "samples": self.samples,
            "failures": self.failures,
        }


def save(run: dict[str, Any], folder: Path) -> Path:
    """Write a run to a file of its own, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.fromisoformat(run['ended_at']):%Y-%m-%dT%H-%M-%SZ}.json"
    path.write_text(json.dumps(run, indent=2) + "\n", "utf-8")
    return path
