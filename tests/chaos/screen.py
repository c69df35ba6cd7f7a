"""What people see of a run: a line when something has happened, with the second at which it had, and tables."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDEST = 110


class Screen(Console):
    def __init__(self) -> None:
        super().__init__(highlight=False, soft_wrap=True)
        self.width = min(self.width, _WIDEST)
        self._began = monotonic()

    def begin(self, title: str) -> None:
        self._began = monotonic()
        self.print(f"\n[bold]{title}[/]")

    def say(self, text: str) -> None:
        self.print(f"{monotonic() - self._began:7.1f} s  {text}", markup=False)

    def facts(self, facts: Mapping[str, object]) -> None:
        table = Table(show_header=False)
        for name, fact in facts.items():
            table.add_row(name, f"{fact:,}" if isinstance(fact, int) else str(fact))
        self.print(table)

    def verdict(self, broken: Sequence[str], *, kept: str) -> None:
        for promise in broken:
            self.print(f"broken: {promise}", style="red", markup=False)
        if not broken:
            self.print(kept, style="green")
