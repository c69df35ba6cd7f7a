"""A daemon that differs from what is shipped: ``python -m tests.chaos.altered`` with the arguments of jobsd.

CHAOS_ALTERED names how, with blanks between. Each of FAULTS breaks a promise, and the laws have to find that it is
broken.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from typing import TYPE_CHECKING, Any

from jobsd import schedule_jobs
from jobsd.__main__ import main
from jobsd.records import inserting, schedules
from jobsd.records.queries import query
from jobsd.relay import intake
from jobsd.relay.intake import Intake
from jobsd.relay.recorder import Recorder
from jobsd.store import scripts
from jobsd.store.outbox import PushedJobs
from jobsd.store.schedules import RedisSchedules
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


def _skewed() -> None:
    """Let the process's clock be wrong by CHAOS_SKEW_S; ``monotonic`` goes on as it does."""
    skew_s, seconds, nanoseconds = int(os.environ["CHAOS_SKEW_S"]), time.time, time.time_ns
    time.time = lambda: seconds() + skew_s
    time.time_ns = lambda: nanoseconds() + skew_s * 1_000_000_000


def _unjudged() -> None:
    """Fire whatever is due, whoever else has: no version is compared, no row has a key, and each job is another."""
    sql = schedules._QUERIES["schedules_apply"]
    for words, others in _JUDGING.items():
        assert sql.count(words) == 1, words
        sql = sql.replace(words, others)
    schedules._QUERIES["schedules_apply"] = sql
    source, job_id_of = scripts.source, schedule_jobs.job_id_of
    same = "if head == version then"
    assert source("fire").count(same) == 1
    scripts.source = lambda name: source(name).replace(same, "if head then") if name == "fire" else source(name)
    schedule_jobs.job_id_of = lambda *args: f"{job_id_of(*args)}:{secrets.token_hex(4)}"
    for store in (schedules.PostgresSchedules, RedisSchedules):
        store.apply = _slowly(store.apply)


def _slowly(apply: Any) -> Any:
    async def altered(self: Any, changes: Any) -> Any:
        await asyncio.sleep(0.1)  # all have looked by then
        return await apply(self, changes)

    return altered


_JUDGING = {
    "WHERE e.version = sent.v ORDER BY e.name FOR UPDATE OF e SKIP LOCKED": "ORDER BY e.name FOR UPDATE OF e",
    """    ON CONFLICT (schedule, due_at, manual) DO UPDATE SET
        state = excluded.state, reason = excluded.reason, job_id = excluded.job_id, incarnation = excluded.incarnation,
        decided_at = excluded.decided_at
    WHERE kept.state = 'waiting'
""": "",
    """    ON CONFLICT (schedule, due_at, manual) DO UPDATE SET
        state = excluded.state, reason = excluded.reason, job_id = excluded.job_id, incarnation = excluded.incarnation,
        decided_at = excluded.decided_at
    WHERE kept.state <> 'fired' AND kept.due_times = 1
""": "",
}


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
ALTERATIONS = {"hasty": _hasty, "halting": _halts, "skewed": _skewed, "unjudged": _unjudged} | FAULTS

if __name__ == "__main__":
    for name in os.environ["CHAOS_ALTERED"].split():
        ALTERATIONS[name]()
    main()
