"""What a worker has run until it was idle: each run, and their counts."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd.outcome import Archive, Cancelled, Complete, Dropped, Park, RetryAt, ScheduleAt, Succeeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.engine.attempt import Attempt
    from jobsd.outcome import Outcome, Transition

_WORDS: dict[type, str] = {
    Complete: "completed",
    RetryAt: "retried",
    ScheduleAt: "snoozed",
    Archive: "archived",
    Park: "parked",
}


class JobRun(NamedTuple):
    """One run of one job.

    ``outcome`` is how it ended: succeeded, failed, timed_out, snoozed, dropped, cancelled, expired. ``became`` is what
    the job became of it: completed, retried, snoozed, archived, parked (nobody here knows its task) or gone.
    """

    task: str
    job_id: str
    queue: str
    attempt: int
    outcome: str
    became: str
    result: Any
    error: str | None
    trace: str | None

    def __str__(self) -> str:
        return f"{self.task} (attempt {self.attempt}): {self.error or self.outcome}, {self.became}"


class Ran:
    """The runs of one ``run_until_idle``. Equal counts are asserted as ``ran.succeeded == 2``; it shows what failed."""

    def __init__(self, runs: Sequence[JobRun]) -> None:
        self.runs = list(runs)
        """In the order in which they ended."""

    @property
    def succeeded(self) -> int:
        return self._outcomes["succeeded"]

    @property
    def failed(self) -> int:
        """Runs that ended in an error, timeouts among them; whether the job was retried or not."""
        return len(self.failures)

    @property
    def retried(self) -> int:
        """Runs after which the job waits for its retry."""
        return self._became["retried"]

    @property
    def archived(self) -> int:
        """Runs after which the job will not run again by itself: the last retry was used up, or it was for good."""
        return self._became["archived"]

    @property
    def snoozed(self) -> int:
        return self._became["snoozed"]

    @property
    def dropped(self) -> int:
        return self._outcomes["dropped"]

    @property
    def parked(self) -> int:
        """Jobs whose task is not known here: nothing of them ran."""
        return self._became["parked"]

    @property
    def failures(self) -> list[JobRun]:
        """The runs that failed, with their errors and traces."""
        return [run for run in self.runs if run.error is not None]

    @property
    def counts(self) -> dict[str, int]:
        """How many runs had each outcome."""
        return dict(self._outcomes)

    def __len__(self) -> int:
        return len(self.runs)

    def __bool__(self) -> bool:
        return True  # it is asked for its counts

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in self._outcomes.items())
        return "\n  ".join([f"<ran {counts or 'nothing'}>", *map(str, self.failures)])

    @property
    def _outcomes(self) -> Counter[str]:
        return Counter(run.outcome for run in self.runs)

    @property
    def _became(self) -> Counter[str]:
        return Counter(run.became for run in self.runs)


def run_of(attempt: Attempt, outcome: Outcome, transition: Transition) -> JobRun | None:
    """Return what there is to tell of an attempt; None if nothing ran and the job waits on."""
    became = _WORDS.get(type(transition), "gone" if isinstance(outcome, Dropped) else None)
    if became is None:
        return None
    lease, task = attempt.lease, attempt.payload.task if attempt.payload else "<unknown>"
    result = outcome.result if isinstance(outcome, Succeeded) else None
    error = (
        None
        if isinstance(outcome, Succeeded | Dropped | Cancelled) or became == "snoozed"
        else _error(outcome, transition)
    )
    trace: str | None = getattr(outcome, "trace", None)
    outcome_word = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(outcome).__name__).lower()
    return JobRun(task, lease.id, lease.queue, lease.attempt, outcome_word, became, result, error, trace)


def _error(outcome: Outcome, transition: Transition) -> str:
    kind, message = getattr(outcome, "error_type", None), getattr(outcome, "message", None)
    if kind and message is not None:
        return f"{kind}: {message}"
    match transition:
        case Archive(cause):
            return cause
        case Park(reason):
            return f"parked for {reason}"
        case _:
            return str(message or type(outcome).__name__)
