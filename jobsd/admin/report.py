"""What fsck has found: how much of what, and some of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobsd.admin.troubles import TROUBLES
from jobsd.store.keys import queue_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.store.examination import Finding

MOST_NAMED = 1000
"""Of one kind; the rest is only counted."""


@dataclass
class Found:
    """One kind of trouble. ``left`` are those that still are as they were; ``items`` the first of them all."""

    kind: str
    count: int = 0
    mended: int = 0
    mendable: int = 0
    items: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def left(self) -> int:
        return self.count - self.mended


@dataclass
class Report:
    """``jobs`` is how many were looked at, in ``queues``; ``notes`` say what is worth knowing and no trouble."""

    queues: int
    mend: bool = False
    jobs: int = 0
    found: dict[str, Found] = field(default_factory=dict[str, Found])
    notes: list[str] = field(default_factory=list[str])

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if finding.kind == "foreign_payload":
                self._foreign += 1
                continue
            kind = self.found.setdefault(finding.kind, Found(finding.kind))
            kind.count += 1
            kind.mended += finding.verdict == "mended"
            kind.mendable += finding.verdict in {"can", "recover"}
            if len(kind.items) < MOST_NAMED:
                kind.items.append(
                    {
                        "name": finding.name,
                        "queue": queue_of(finding.base) if finding.base else None,
                        "state": _STATES[finding.verdict],
                        "detail": finding.detail or None,
                    }
                )

    _foreign: int = 0

    @property
    def problems(self) -> list[Found]:
        """Return the kinds in the order of TROUBLES."""
        return [self.found[kind] for kind in TROUBLES if kind in self.found]

    @property
    def left(self) -> int:
        """Return how much is still as it was."""
        return sum(found.left for found in self.found.values())

    def all_notes(self) -> list[str]:
        if not self._foreign:
            return self.notes
        return [*self.notes, f"{self._foreign:,} payloads of arq's clients are in no queue that jobsd knows"]


_STATES = {"can": "mendable", "recover": "mendable", "mended": "mended", "left": "left"}
