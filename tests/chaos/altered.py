"""A daemon that differs from what is shipped: ``python -m tests.chaos.altered`` with the arguments of jobsd.

CHAOS_ALTERED names how, with blanks between. Each of FAULTS breaks a promise, and the laws have to find that it is
broken.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jobsd.__main__ import main
from jobsd.records import inserting
from jobsd.records.queries import query
from jobsd.relay import intake
from jobsd.relay.intake import Intake
from jobsd.relay.recorder import Recorder
from jobsd.store.outbox import PushedJobs
from tests.chaos.halting import halt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobsd.store.outbox import Life, PushedJob
    from jobsd.store.record_stream import Entry


def _hasty() -> None:
    """Take over from a silent recorder after 2 s instead of 20, for runs that have little time. It costs only work."""
    intake.TAKE_OVER_EVERY_S = 0.25
    assert Intake.__init__.__kwdefaults__
    Intake.__init__.__kwdefaults__["silent_ms"] = 2_000


def _halts() -> None:
    """Stop in the middle of a push when the run wants it: the rows are locked, and Redis has the jobs or has not."""
    push = PushedJobs.push

    async def altered(self: PushedJobs, life: Life, jobs: Sequence[PushedJob]) -> str:
        halt("before-push")
        letters = await push(self, life, jobs)
        halt("after-push")
        return letters

    PushedJobs.push = altered


def _settles_first() -> None:
    """Take records out of the stream before they are in the ledger."""
    carry = Recorder._carry

    async def altered(self: Recorder, entries: Sequence[Entry]) -> None:
        await self._stream.settle([entry.id for entry in entries])
        await carry(self, entries)

    Recorder._carry = altered


def _keys_of_its_own() -> None:
    """Make the row's key when it is written, so that a record that comes again is another row."""
    _insert_otherwise("jobsd.instant((sent->>9)::bigint)", "clock_timestamp()")


def _counts_again() -> None:
    """Take a record that comes again for a better outcome, and count it."""
    _insert_otherwise("WHERE kept.outcome = 'lost' AND excluded.outcome <> 'lost'", "")


def _insert_otherwise(words: str, others: str) -> None:
    sql = query("insert_executions")
    assert sql.count(words) == 1
    inserting.query = lambda name: sql.replace(words, others) if name == "insert_executions" else query(name)


FAULTS: dict[str, Callable[[], None]] = {
    "settles-first": _settles_first,
    "keys-of-its-own": _keys_of_its_own,
    "counts-again": _counts_again,
}
ALTERATIONS = {"hasty": _hasty, "halting": _halts} | FAULTS

if __name__ == "__main__":
    for name in os.environ["CHAOS_ALTERED"].split():
        ALTERATIONS[name]()
    main()
