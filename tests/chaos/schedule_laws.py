"""What must be true of schedules when all faults are over and nothing moves any more.

The tasks' own file is the witness, with a line for each run that began and each that was done, and beside it a table of
effects, without any key. Against them stands what jobsd says: what came of each due time, and the ledger.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    Due = tuple[str, int]
    """A schedule's name, and epoch ms."""

FLUSH = "FLUSHALL"
_SHOWN = 3
_FELT_S = 10.0
"""So long after a fault its consequences may begin."""


class Line(NamedTuple):
    """One of the witness. ``what``: ``begun`` or ``done``; ``at_s`` as ``monotonic`` has it."""

    what: str
    schedule: str
    due: int
    key: str
    at_s: float

    @property
    def of(self) -> Due:
        return self.schedule, self.due


class Row(NamedTuple):
    """What jobsd says came of the due times from ``due`` to ``last``."""

    schedule: str
    due: int
    last: int
    due_times: int
    state: str
    reason: str = ""
    job_id: str = ""


class Span(NamedTuple):
    """A fault, from when until when, as ``monotonic`` has it."""

    fault: str
    began_s: float
    ended_s: float


class Facts(NamedTuple):
    """``overlaps`` is each schedule's policy, ``dues`` the times at which it was due, from its first row on.

    ``effects`` and ``endings`` are None where there is no Postgres; an ending is (key, outcome).
    """

    overlaps: Mapping[str, str]
    dues: Mapping[str, Sequence[int]]
    rows: Sequence[Row]
    lines: Sequence[Line]
    spans: Sequence[Span]
    effects: Sequence[Due] | None
    endings: Sequence[tuple[str, str]] | None


@dataclass
class Verdict:
    """What was found, and every promise that was broken, in words."""

    due_times: int = 0
    fired: int = 0
    passed: int = 0
    runs: int = 0
    ran_again: int = 0
    """Runs of due times that had a run before: it was lost, or failed of a fault."""
    ended_again: int = 0
    """Jobs that Redis lost between their end and its record: the next run finds the effect, and ends as well."""
    broken: list[str] = field(default_factory=list[str])


def read_lines(file: Path) -> list[Line]:
    words = [line.split(" ") for line in file.read_text("ascii").splitlines()] if file.exists() else []
    return [Line(what, schedule, int(due), key, float(at)) for what, schedule, due, key, at in words]


def judge(found: Facts) -> Verdict:
    """Hold what was due against what came of it."""
    begun, done = _by_due(found.lines, "begun"), _by_due(found.lines, "done")
    keys = {due: {line.key for line in lines} for due, lines in begun.items()}
    fired = {(row.schedule, row.due) for row in found.rows if row.state == "fired"}
    again = [due for due, lines in begun.items() if len(lines) > 1]
    told = _rows_told(found) | {
        "due times have become more than one job": {due for due, of in keys.items() if len(of) > 1},
        "due times were fired, and never run": fired - done.keys(),
        "due times were run, and never fired": begun.keys() - fired,
        "due times ran again, and nothing had failed": {due for due in again if not _excused(begun[due], found.spans)},
        "runs of a schedule overlap": _overlapping(found),
    }
    ended_again = 0
    if found.effects is not None and found.endings is not None:
        effects = Counter(found.effects)
        endings = defaultdict[str, list[str]](list)
        for key, outcome in found.endings:
            endings[key].append(outcome)
        ended = {due: [outcome for key in keys[due] for outcome in endings[key]] for due in fired & keys.keys()}
        twice = {due for due, outcomes in ended.items() if len(outcomes) > 1}
        ended_again = len(twice)
        told |= {
            "due times have more than one effect": {due for due, times in effects.items() if times > 1},
            "due times were fired, and have no effect": fired - effects.keys(),
            "due times have no ending in the ledger": {due for due, outcomes in ended.items() if not outcomes},
            "due times ended otherwise than with success": {
                due for due, outcomes in ended.items() if set(outcomes) - {"succeeded"}
            },
            "due times ended twice, and Redis had lost nothing": {
                due for due in twice if not _excused(begun[due], found.spans, FLUSH, open_end=True)
            },
        }
    return Verdict(
        due_times=sum(map(len, found.dues.values())),
        fired=len(fired),
        passed=sum(row.due_times for row in found.rows if row.state == "passed"),
        runs=sum(map(len, begun.values())),
        ran_again=sum(map(len, begun.values())) - len(begun),
        ended_again=ended_again,
        broken=[_in_words(what, those) for what, those in told.items() if those],
    )


def late_ms(found: Facts, schedules: Iterable[str], wall_s: float) -> list[float]:
    """Return how late first runs began at calm times; ``wall_s`` is the wall clock's time less the monotonic one's."""
    named = set(schedules)
    first = {due: lines[0].at_s for due, lines in _by_due(found.lines, "begun").items() if due[0] in named}
    return sorted(
        (at_s + wall_s) * 1000 - due
        for (_, due), at_s in first.items()
        if all(
            not span.began_s - 1 < due / 1000 - wall_s < span.ended_s + _FELT_S
            and not span.began_s < at_s < span.ended_s
            for span in found.spans
        )
    )


def _rows_told(found: Facts) -> dict[str, set[Due]]:
    """Return what is wrong with the rows themselves."""
    covered: Counter[Due] = Counter()
    miscounted: set[Due] = set()
    for row in found.rows:
        covers = [due for due in found.dues.get(row.schedule, ()) if row.due <= due <= row.last]
        covered.update((row.schedule, due) for due in covers)
        if len(covers) != row.due_times:
            miscounted.add((row.schedule, row.due))
    passed = [row for row in found.rows if row.state == "passed"]
    return {
        "due times have no row": {(name, due) for name, dues in found.dues.items() for due in dues} - covered.keys(),
        "due times have more than one row": {due for due, times in covered.items() if times > 1},
        "rows are of other due times than they count": miscounted,
        "due times wait still": {(row.schedule, row.due) for row in found.rows if row.state == "waiting"},
        "due times were passed over for no good reason": {
            (row.schedule, row.due)
            for row in passed
            if found.overlaps[row.schedule] != "skip" or row.reason != "overlap"
        },
    }


def _by_due(lines: Iterable[Line], what: str) -> dict[Due, list[Line]]:
    found = defaultdict[tuple[str, int], list[Line]](list)
    for line in sorted(lines, key=lambda line: line.at_s):
        if line.what == what:
            found[line.of].append(line)
    return found


def _excused(runs: Sequence[Line], spans: Iterable[Span], fault: str = "", *, open_end: bool = False) -> bool:
    """Say whether a fault explains each run but the first: one that was there, or was still felt, between the two.

    With ``open_end`` it is asked for one at any time until the last run is over.
    """
    spans = [span for span in spans if span.fault.startswith(fault)]
    pairs = (
        [(runs[0].at_s, runs[-1].at_s + _FELT_S)]
        if open_end
        else [(one.at_s, next_.at_s) for one, next_ in pairwise(runs)]
    )
    return all(any(span.began_s < end and span.ended_s + _FELT_S > begin for span in spans) for begin, end in pairs)


def _overlapping(found: Facts) -> set[Due]:
    """Return the due times whose run began before that of another due time was over, where that is not allowed."""
    lives = defaultdict[tuple[str, int], list[float]](list)
    for line in found.lines:
        if found.overlaps.get(line.schedule) != "allow":
            lives[line.of].append(line.at_s)
    spans = sorted((schedule, min(times), max(times), due) for (schedule, due), times in lives.items())
    return {(after[0], after[3]) for before, after in pairwise(spans) if before[0] == after[0] and after[1] < before[2]}


def _in_words(what: str, found: Iterable[Due]) -> str:
    every = sorted(found)
    shown = ", ".join(f"{name} at {due}" for name, due in every[:_SHOWN])
    return f"{len(every):,} {what}: {shown}{', …' if len(every) > _SHOWN else ''}"
