"""How far the run ``effects`` is, from what its tasks tell when they begin."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Progress:
    """``begun`` is the tasks' own file: number, key and attempt of each run, a line each. The way is ``whole`` jobs."""

    def __init__(self, begun: Path, whole: int) -> None:
        self._begun = begun
        self._whole = whole
        self._read = 0
        self._runs: Counter[str] = Counter()

    def jobs(self) -> int:
        """Return how many have begun."""
        self._go_on()
        return len(self._runs)

    def part(self) -> float:
        return self.jobs() / self._whole

    def runs(self, key: str) -> int:
        """Return how often the job with this key has begun."""
        self._go_on()
        return self._runs[key]

    def _go_on(self) -> None:
        if self._begun.exists():
            with self._begun.open("rb") as lines:
                lines.seek(self._read)
                for line in lines:
                    self._read += len(line)
                    self._runs[line.split(b" ")[1].decode("ascii")] += 1
