"""fsck of the outbox: each of its jobs is in Redis, or is to be pushed; none has ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from jobsd.clock import monotonic, now_ms, utc_from_ms
from jobsd.records.judging import outbox_pages, push_again
from jobsd.records.outbox import end, here
from jobsd.records.recorded import recorded
from jobsd.store.examination import Finding
from jobsd.store.keys import base_key
from jobsd.store.outbox import PushedJobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.admin.report import Report
    from jobsd.records.judging import OutboxRow
    from jobsd.records.pool import Pool
    from jobsd.store.examination import Examination
    from jobsd.store.jobs import Jobs

_SETTLED_WITHIN_S = 5.0
_FORGOTTEN_AFTER_MS = 600_000
LIVE, OTHER, ENDED, NOTHING = "l", "w", "e", "n"
"""The letters of examine_pushed.lua."""


class OutboxCheck:
    def __init__(self, jobs: Jobs, pool: Pool, exam: Examination, report: Report) -> None:
        self._shard = jobs.shard
        self._pushed = PushedJobs(jobs.redis, shard=jobs.shard)
        self._pool = pool
        self._exam = exam
        self._report = report
        self._waiting: Counter[str] = Counter()

    async def run(self) -> None:
        """Add what is wrong to the report, and mend it if that is wanted. Raises UnreachableError."""
        doubtful: list[OutboxRow] = []
        life = await self._exam.life()
        async for rows in outbox_pages(self._pool):
            for row, letter in zip(rows, await self._letters(rows), strict=True):
                if row.ended or letter == ENDED or (letter == NOTHING and row.pushed_to == life):
                    doubtful.append(row)
                else:
                    self._note(row, letter)
        if doubtful:
            await self._judge(doubtful)
        await self._members()
        self._report.notes += [f"{count:,} {words}" for words, count in self._waiting.items()]
        if rejected := (await recorded(self._pool, utc_from_ms(now_ms()))).rejected:
            self._report.notes.append(f"{rejected:,} records were ever refused by the ledger")

    def _note(self, row: OutboxRow, letter: str) -> None:
        """Count what waits as it is meant to."""
        if letter == OTHER:
            self._waiting["jobs of the outbox wait until other jobs with their ids have ended"] += 1
        elif letter == NOTHING and row.problem is not None:
            self._tell("outbox_refused", row, mended=None, detail=row.problem)
        elif letter == NOTHING and row.late:
            back = "brought back" if row.pushed_to else "pushed"
            self._waiting[f"jobs of the outbox wait to be {back}: does a daemon with Postgres run?"] += 1

    async def _judge(self, rows: Sequence[OutboxRow]) -> None:
        """Tell which rows are wrong once all is in the ledger that had ended when they were looked at."""
        if not await self._is_settled():
            self._report.notes.append(f"{len(rows):,} jobs of the outbox were not judged: their records still wait")
            return
        there = await here(self._pool, [(row.job_id, row.incarnation) for row in rows])
        rows = [row for row in rows if (row.job_id, row.incarnation) in there]
        for row, letter in zip(rows, await self._letters(rows), strict=True):
            job = (base_key(row.queue, self._shard), row.job_id, row.incarnation)
            if row.ended and letter == LIVE:
                self._tell("ended_and_live", row, mended=None)
            elif row.ended or letter == ENDED:
                if self._report.mend:
                    await end(self._pool, [job[1:]])
                self._tell("outbox_ended", row, mended=self._report.mend)
            elif letter == NOTHING and row.rejected:
                self._tell("outbox_lost", row, mended=None, detail="the ledger has refused a record of it: has it run?")
            elif letter == NOTHING:
                await self.let_come_back(self._pool, self._exam, [job], mend=self._report.mend)
                self._tell("outbox_lost", row, mended=self._report.mend)

    @staticmethod
    async def let_come_back(pool: Pool, exam: Examination, jobs: Sequence[tuple[str, str, str]], *, mend: bool) -> None:
        """Let (base, id, incarnation) be pushed again, of which Redis has nothing that could run."""
        if mend:
            letters = await exam.pushed(jobs, forget=True)
            await push_again(pool, [job[1:] for job, letter in zip(jobs, letters, strict=True) if letter == NOTHING])

    async def _members(self) -> None:
        """What Redis remembers as pushed is forgotten by the daemons' pushers, once its row is gone."""
        async for members, now in self._exam.remembered():
            old = [(job_id, incarnation) for job_id, incarnation, at in members if 0 < at < now - _FORGOTTEN_AFTER_MS]
            gone = [job for job in old if job not in await here(self._pool, old)] if old else []
            if gone and self._report.mend:
                await self._pushed.looked_at(now, [], gone)
            verdict = "mended" if self._report.mend else "can"
            self._report.add([Finding("outbox_forgotten", job_id, "", verdict) for job_id, _ in gone])

    async def _letters(self, rows: Sequence[OutboxRow]) -> str:
        jobs = [(base_key(row.queue, self._shard), row.job_id, row.incarnation) for row in rows]
        return await self._exam.pushed(jobs, forget=False)

    async def _is_settled(self) -> bool:
        """Wait until the records are in the ledger that there are now; False if they do not get there."""
        last = await self._exam.last_record()
        until = monotonic() + _SETTLED_WITHIN_S
        while not await self._exam.is_settled(last):
            if monotonic() > until:
                return False
            await asyncio.sleep(0.05)
        return True

    def _tell(self, kind: str, row: OutboxRow, *, mended: bool | None, detail: str = "") -> None:
        verdict = "left" if mended is None else "mended" if mended else "can"
        self._report.add([Finding(kind, row.job_id, base_key(row.queue, self._shard), verdict, detail)])
