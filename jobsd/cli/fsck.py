"""jobsd fsck: is each job in exactly one place? What is not is told, and mended if that is wanted."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobsd.admin.fsck import Fsck
from jobsd.admin.releasing import release
from jobsd.admin.troubles import TROUBLES
from jobsd.cli.output import as_json, printable
from jobsd.cli.servers import ConfigOption, JsonOption, database_url, ledger, redis_jobs
from jobsd.daemon.settings import load_settings
from jobsd.duration import duration_ms
from jobsd.errors import SchemaError, UnknownQueueError, UnreachableError

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.admin.report import Found, Report
    from jobsd.errors import JobsdError
    from jobsd.records.pool import Pool
    from jobsd.store.handing_back import HandedBack

_NAMED = 5
_NO_LEDGER = "outbox and ledger were not looked at: no Postgres is configured (JOBSD_DATABASE_URL)"


def fsck(
    queue: Annotated[
        list[str] | None, typer.Option("--queue", "-q", help="Only this queue; may be given again.")
    ] = None,
    release_queue: Annotated[
        str | None, typer.Option("--release", metavar="QUEUE", help="Hand an arq queue back to arq's own workers.")
    ] = None,
    config: ConfigOption = None,
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended without a guess.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Look whether each job is in exactly one place, and each key has an owner; what is not is told, or mended."""
    if release_queue is not None:
        if queue or repair:
            msg = "--release stands alone: it looks at no other queue, and mends nothing"
            raise typer.BadParameter(msg)
        _tell_release(release_queue, asyncio.run(_released(config, release_queue)), json_output=json_output)
        return
    try:
        report, trouble = asyncio.run(_examined(config, queue or [], mend=repair))
    except UnknownQueueError as error:
        raise typer.BadParameter(str(error), param_hint="--queue") from None
    if json_output:
        typer.echo(as_json(_as_dict(report)))
    else:
        _tell(report)
    if trouble is not None:
        raise trouble
    if report.left:
        raise typer.Exit(1)


async def _examined(config: Path | None, queues: list[str], *, mend: bool) -> tuple[Report, JobsdError | None]:
    """Return what was found, and why the ledger was not asked, if it was to be."""
    loaded = load_settings(config)
    worker = loaded.settings.worker
    pool: Pool | None = None
    trouble: JobsdError | None = None
    async with redis_jobs(config) as jobs, AsyncExitStack() as stack:
        if await database_url(loaded) is not None:
            try:
                pool = await stack.enter_async_context(ledger(config))
            except (UnreachableError, SchemaError) as error:
                if mend:
                    raise  # what Redis alone would take for lost may be in the outbox
                trouble = error
        look = Fsck(jobs, pool, lease_ms=duration_ms(worker.lease), max_losses=worker.max_losses)
        report = await look.run(queues, mend=mend)
        if pool is None and trouble is None and not queues:
            report.notes.append(_NO_LEDGER)
        return report, trouble


async def _released(config: Path | None, queue: str) -> HandedBack:
    async with redis_jobs(config) as jobs:
        try:
            return await release(jobs, queue)
        except UnknownQueueError as error:
            raise typer.BadParameter(str(error), param_hint="--release") from None


def _tell(report: Report) -> None:
    seen = f"{_count(report.jobs, 'job')} in {_count(report.queues, 'queue')}"
    for found in report.problems:
        _tell_one(found, mend=report.mend)
    for note in report.all_notes():
        typer.echo(f"note: {printable(note)}")
    problems = sum(found.count for found in report.problems)
    if not problems:
        typer.echo(f"all is well: {seen}")
    elif report.mend:
        typer.echo(f"{_count(problems, 'problem')}, {problems - report.left:,} mended, {report.left:,} left: {seen}")
    else:
        mendable = sum(found.mendable for found in report.problems)
        typer.echo(f"{_count(problems, 'problem')}, of which --repair mends {mendable:,}: {seen}")


def _tell_one(found: Found, *, mend: bool) -> None:
    trouble = TROUBLES[found.kind]
    typer.echo(f"{found.count:>7,}  {trouble.means}")
    for item in found.items[:_NAMED]:
        parts = [item["name"], f"in {item['queue']}" if item["queue"] else None, item["detail"]]
        state = "" if item["state"] == ("mended" if mend else "mendable") else " (left as it is)"
        typer.echo(f"{'':7}    {printable(', '.join(part for part in parts if part))}{state}")
    if found.count > _NAMED:
        typer.echo(f"{'':7}    and {found.count - _NAMED:,} more")
    if (found.mended or found.mendable) and trouble.repair:
        typer.echo(f"{'':7}    {'mended' if mend else '--repair'}: {trouble.repair}")


def _tell_release(queue: str, done: HandedBack, *, json_output: bool) -> None:
    if json_output:
        typer.echo(as_json({"queue": queue, **done._asdict()}))
        return
    typer.echo(f"{queue} is arq's: {_count(done.jobs, 'job')} in it")
    if done.json:
        typer.echo(f"{done.json:,} of them are JSON: arq's worker needs job_deserializer = jobsd.arq.job_deserializer")
    if done.from_outbox:
        typer.echo(f"{done.from_outbox:,} of them came from the outbox, and stay in it: arq does not know it")
    if done.was_paused:
        typer.echo("it was paused: arq's workers will not heed that")
    if done.limits:
        typer.echo("it had limits: arq's workers know none")
    if done.archived:
        names = ", ".join(done.archived[:_NAMED]) + (", …" if len(done.archived) > _NAMED else "")
        stay = "stays" if len(done.archived) == 1 else "stay"
        typer.echo(f"{_count(len(done.archived), 'archived job')} {stay} in jobsd's archive: {printable(names)}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _as_dict(report: Report) -> dict[str, Any]:
    return {
        "jobs": report.jobs,
        "queues": report.queues,
        "left": report.left,
        "problems": [
            asdict(found) | {"left": found.left} | TROUBLES[found.kind]._asdict() for found in report.problems
        ],
        "notes": report.all_notes(),
    }
