"""Everything that was measured: of each measure rows, of each row columns, of each of those one figure a round."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    ByRound = dict[int, float]


class Figures:
    """Kept as JSON has it, but that a round is a number."""

    def __init__(self, known: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]] | None = None) -> None:
        self.all: dict[str, dict[str, dict[str, ByRound]]] = {}
        for measure, rows in (known or {}).items():
            for row, columns in rows.items():
                for column, by_round in columns.items():
                    for number, figure in by_round.items():
                        self.add(measure, row, column, int(number), figure)

    def add(self, measure: str, row: str, column: str, number: int, figure: float) -> None:
        self.all.setdefault(measure, {}).setdefault(row, {}).setdefault(column, {})[number] = figure

    def rows(self, measure: str) -> list[str]:
        return list(self.all.get(measure, {}))

    def by_round(self, measure: str, row: str, column: str) -> ByRound:
        """Return one figure a round; none where nothing was measured."""
        return self.all.get(measure, {}).get(row, {}).get(column, {})


def ratios(over: ByRound, under: ByRound) -> ByRound:
    """Return the quotient of each round in which both were measured: never of two different rounds.

    >>> ratios({1: 6.0, 2: 9.0}, {2: 3.0, 3: 1.0})
    {2: 3.0}
    """
    return {number: over[number] / under[number] for number in over if under.get(number)}


def middle(by_round: ByRound) -> float:
    return statistics.median(by_round.values())


def spread(by_round: ByRound, form: Callable[[float], str]) -> str:
    """Return the median, and the lowest and highest where the rounds differ.

    >>> spread({1: 1200.0, 2: 1300.0, 3: 900.0}, "{:,.0f}".format), spread({1: 0.5}, "{:.1%}".format), spread({}, str)
    ('1,200 (900-1,300)', '50.0%', '')
    """
    if not by_round:
        return ""
    lowest, highest = form(min(by_round.values())), form(max(by_round.values()))
    return form(middle(by_round)) + (f" ({lowest}-{highest})" if lowest != highest else "")
