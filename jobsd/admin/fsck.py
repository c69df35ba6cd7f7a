"""fsck: is each job in exactly one place, has each key an owner, do outbox, Redis and ledger say the same?

A walk names what there is, scripts look at it, and what is suspicious is looked at once more after a new walk: what was
only on its way is not told. A repair is made by the script that looks, in the same step. It moves a job to where some
trace of it says it belongs; it never removes a payload that is not kept elsewhere, and leaves what it cannot know.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from jobsd.admin.outbox_check import OutboxCheck
from jobsd.admin.report import Report
from jobsd.clock import monotonic
from jobsd.duration import format_duration
from jobsd.errors import UnknownQueueError
from jobsd.records.judging import homes
from jobsd.store.census import Walk
from jobsd.store.examination import Examination, Finding
from jobsd.store.keys import base_key
from jobsd.store.scripts import Scripts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from typing import TypeAlias

    from jobsd.records.judging import Home
    from jobsd.records.pool import Pool
    from jobsd.store.census import Census
    from jobsd.store.jobs import Jobs

    Seen: TypeAlias = tuple[str, str]
    """The base key and what examine.lua is told: what was seen of a job."""

_Name = TypeVar("_Name", str, bytes)
_MOST_SUSPECTS = 50_000
_STEP = 500
_ROUNDS = 5
_RECOVER_EVERY_S = 0.5
_LONG_MS = 60_000
_NOT_ASKED = "it may be in the outbox, and no Postgres is configured here"


class Fsck:
    """One look at a shard. ``pool``: the ledger, for what Redis alone cannot say. ``lease_ms`` and ``max_losses`` are
    the settings, for jobs that are to be taken back.
    """

    def __init__(self, jobs: Jobs, pool: Pool | None = None, *, lease_ms: int = 15_000, max_losses: int = 3) -> None:
        self._jobs = jobs
        self._pool = pool
        self._lease_ms = lease_ms
        self._max_losses = max_losses
        self._walk = Walk(jobs.redis, jobs.shard)
        self._scripts = Scripts(jobs.redis)

    async def run(self, queues: Sequence[str] = (), *, mend: bool = False) -> Report:
        """Look at everything, or at these queues alone; with ``mend`` put right what can be.

        Raises UnknownQueueError for a queue that never was, UnreachableError where the ledger does not answer.
        """
        census = await self._walk.census()
        only = self._only(census, queues)
        report = Report(queues=len(only or census.bases), mend=mend)
        await self._oddities(census, only, report)
        suspects = await self._suspects(census, only, report)
        if suspects:
            census = await self._walk.census()  # what was only on its way has come there
        exam = self._exam(census)
        findings = await self._judged(exam, suspects, only, mend=mend)
        if mend and any(finding.verdict == "recover" for finding in findings):
            findings = await self._recovered(exam, findings)
        report.add(findings)
        await self._of_queues(exam, census, only, report)
        if self._pool is not None and not only:
            await OutboxCheck(self._jobs, self._pool, exam, report).run()
        if not only:
            await self._note_records(report)
        return report

    def _exam(self, census: Census) -> Examination:
        return Examination(self._jobs.redis, self._scripts, self._jobs.shard, census)

    def _only(self, census: Census, queues: Sequence[str]) -> list[str]:
        names = [self._jobs.queue_of(base) for base in census.bases]
        for queue in queues:
            if queue not in names:
                raise UnknownQueueError(queue=queue, known=names)
        return [base_key(queue, self._jobs.shard) for queue in queues]

    async def _oddities(self, census: Census, only: Sequence[str], report: Report) -> None:
        """Tell of keys that nobody reads as they are, and list the queues that are not listed."""
        exam = self._exam(census)
        for base in [base for base in census.bases if base not in census.listed and (not only or base in only)]:
            if report.mend:
                await exam.list_queue(base)
            report.add([Finding("unlisted_queue", base, base, "mended" if report.mend else "can")])
        if only:
            return
        report.add([Finding("unknown_key", _text(key), "", "left") for key in census.unknown])
        report.add(
            [
                Finding("wrong_type", _text(key), "", "left", f"it is to be a {wanted}, and is a {found}")
                for key, wanted, found in census.wrong
            ]
        )

    # --- jobs ---------------------------------------------------------------------------------------

    async def _suspects(self, census: Census, only: Sequence[str], report: Report) -> dict[Seen, set[bytes]]:
        """Return the jobs with which something seems wrong, by what was seen of them."""
        exam = self._exam(census)
        found: dict[Seen, set[bytes]] = {}
        count = 0
        async for seen, ids in self._named(census, only, report):
            base, told = seen
            began = monotonic()
            findings = await exam.jobs(ids, base=base, told=told, mend=False)
            named = {finding.name for finding in findings if _concerns(finding, only)}
            suspects = {job_id for job_id in ids if _text(job_id) in named}
            if suspects and count < _MOST_SUSPECTS:
                count += len(suspects)
                found.setdefault(seen, set()).update(suspects)
            await asyncio.sleep(monotonic() - began)  # the server has others to serve
        if count >= _MOST_SUSPECTS:
            report.notes.append(f"there is more: only the first {_MOST_SUSPECTS:,} jobs in doubt were looked into")
        return found

    async def _named(
        self, census: Census, only: Sequence[str], report: Report
    ) -> AsyncIterator[tuple[Seen, list[bytes]]]:
        """Yield every job that has a trace anywhere, most of them more than once."""
        for place in census.places:
            if only and place.base not in only:
                continue
            async for ids in self._walk.ids_in(place):
                report.jobs += len(ids) if place.kind in {"", "completed", "archived"} else 0
                yield (place.base, place.told), ids
        for base, dead in census.dead.items():
            if not only or base in only:
                for ids in _parts(dead):
                    yield (base, "dead:"), ids
        if not only:
            async for ids in self._walk.ids_with_keys(census):
                yield ("", ""), ids

    async def _judged(
        self, exam: Examination, suspects: dict[Seen, set[bytes]], only: Sequence[str], *, mend: bool
    ) -> list[Finding]:
        found: dict[tuple[str, str, str], Finding] = {}
        # Where it stood says more than that it stands: first those that were seen in a line.
        for (base, told), ids in sorted(suspects.items(), key=lambda item: not item[0][1]):
            for part in _parts(sorted(ids)):
                for finding in await self._judged_part(exam, part, base, told, mend=mend):
                    key = finding[:3]
                    # One that was seen in two places is told once; mended counts, unless it is there again.
                    if key not in found or found[key].verdict != "mended":
                        found[key] = finding
        return [finding for finding in found.values() if _concerns(finding, only)]

    async def _judged_part(
        self, exam: Examination, ids: list[bytes], base: str, told: str, *, mend: bool
    ) -> list[Finding]:
        first = await exam.jobs(ids, base=base, told=told, mend=False)
        known = await self._homes(first)
        found: dict[tuple[str, str, str], Finding] = {}
        for finding in first:
            home = known.get(finding.name)
            if home is None or finding.verdict == "recover":
                continue
            if finding.kind == "payload_in_no_queue":
                where = base_key(home.queue, self._jobs.shard)
                home_told = f"home:{home.due_ms or ''}:{home.incarnation or ''}"
                again = await exam.jobs([_bytes(finding.name)], base=where, told=home_told, mend=mend)
                found |= {one[:3]: one for one in again}
            elif finding.kind == "no_payload" and home.in_outbox and home.incarnation:
                found[finding[:3]] = await self._from_outbox(exam, finding, home, mend=mend)
        if self._pool is None and await exam.has_outbox():
            # Some may be in an outbox that this command was not told of: there they are whole.
            spared = [finding for finding in first if finding.kind == "no_payload"]
            found |= {one[:3]: one._replace(verdict="left", detail=_NOT_ASKED) for one in spared}
            ids = [job_id for job_id in ids if _text(job_id) not in {finding.name for finding in spared}]
        rest = [job_id for job_id in ids if mend or _text(job_id) not in {name for _, name, _ in found}]
        for _ in range(_ROUNDS if mend else 1):
            now = await exam.jobs(rest, base=base, told=told, mend=mend)
            for finding in now:
                if finding[:3] not in found or found[finding[:3]].verdict != "mended":
                    found[finding[:3]] = finding
            # What was moved may stand in yet another place that it is to leave.
            if not any(finding.verdict == "mended" for finding in now):
                break
        return list(found.values())

    async def _homes(self, findings: Iterable[Finding]) -> dict[str, Home]:
        asked = [finding.name for finding in findings if finding.kind in {"payload_in_no_queue", "no_payload"}]
        if self._pool is None or not asked:
            return {}
        return {home.job_id: home for part in _parts(asked) for home in await homes(self._pool, part)}

    async def _from_outbox(self, exam: Examination, finding: Finding, home: Home, *, mend: bool) -> Finding:
        assert self._pool is not None  # noqa: S101 - it has told the home
        await OutboxCheck.let_come_back(
            self._pool, exam, [(finding.base, finding.name, home.incarnation or "")], mend=mend
        )
        return finding._replace(verdict="mended" if mend else "can", detail="it comes back from the outbox")

    async def _recovered(self, exam: Examination, findings: list[Finding]) -> list[Finding]:
        """Take back jobs as daemons do it: not before those who may yet live have had their time to say so."""
        waits = [finding for finding in findings if finding.verdict == "recover"]
        queues = [self._jobs.queue_of(base) for base in sorted({finding.base for finding in waits})]
        records = await exam.has_records()
        until = monotonic() + 2.2 * self._lease_ms / 1000  # a lease that still runs, or an amnesty, and a moment
        left = before = await exam.leases(waits)
        while left and monotonic() < until:
            await self._jobs.recover(queues, lease_ms=self._lease_ms, max_losses=self._max_losses, records=records)
            now = await exam.leases(waits)
            left = {job: ends for job, ends in now.items() if ends == before.get(job)}  # else its worker is back
            if left:
                await asyncio.sleep(min(_RECOVER_EVERY_S, self._lease_ms / 4000))
        return [
            finding._replace(verdict="left" if (finding.base, finding.name) in left else "mended")
            if finding in waits
            else finding
            for finding in findings
        ]

    async def _note_records(self, report: Report) -> None:
        waiting = await self._jobs.looks.backlog()
        if waiting.oldest_age_ms is not None and waiting.oldest_age_ms > _LONG_MS:
            since = format_duration(timedelta(seconds=waiting.oldest_age_ms // 1000))
            report.notes.append(f"{waiting.entries:,} batches of records wait for the ledger, the oldest since {since}")

    # --- queues and keys ----------------------------------------------------------------------------

    async def _of_queues(self, exam: Examination, census: Census, only: Sequence[str], report: Report) -> None:
        held = await exam.held(mend=report.mend)  # first: of what a limit counts depends which lanes may go on
        if held is None:
            report.notes.append("leases under limits were not counted: more than 5,000 jobs run")
        report.add([finding for finding in held or [] if _concerns(finding, only)])
        for base, lanes in sorted(census.lanes.items()):
            if not only or base in only:
                report.add(await exam.lanes(base, sorted(lanes), mend=report.mend))
        if not only:
            report.add(await exam.keys(census.keys, mend=report.mend))


def _concerns(finding: Finding, only: Sequence[str]) -> bool:
    return not only or finding.base in only


def _parts(ids: Sequence[_Name]) -> Iterable[list[_Name]]:
    return (list(ids[start : start + _STEP]) for start in range(0, len(ids), _STEP))


def _text(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")
