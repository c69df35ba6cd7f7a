"""``python -m tests.chaos [RUN …]``. Exit code 1: a promise was broken, or with --control none was."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from jobsd.daemon.logs import configure_logs
from jobsd.duration import duration_ms
from tests.chaos import control, effects, outage, records, schedules
from tests.chaos.screen import Screen

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from tests.chaos.laws import Verdict

_RUNS = ("records", "outage", "effects", "schedules")


async def _records(screen: Screen, jobs: int, seed: int) -> list[str]:
    screen.begin(f"{jobs:,} jobs under restarts, kills and cuts (seed {seed})")
    ran = await records.run(jobs, records.LONG, daemons=records.DAEMONS, seed=seed, say=screen.say)
    met = ran.met
    screen.facts(
        {
            "took": f"{ran.took_s:.0f} s, {ran.verdict.rows / ran.took_s:,.0f} rows/s",
            "Postgres restarted": f"{met.restarts}, away for {sum(met.away_s):.1f} s in all",
            "daemons killed": met.kills,
            "daemons stopped": met.stops,
            "connections cut": f"{met.connections:,}, in {met.cuts} cuts",
        }
        | _found(ran.jobs, ran.verdict)
    )
    return ran.verdict.broken


async def _outage(screen: Screen, away_s: float) -> list[str]:
    screen.begin(f"Postgres away for {away_s:g} s under {outage.RATE} jobs/s")
    ran = await outage.run(away_s, say=screen.say)
    reached = next((sample.at_s for sample in ran.samples if sample.waiting_bytes > sample.limit_bytes), None)
    last = ran.samples[-1]
    screen.facts(
        {
            "Postgres away": f"{ran.away_s:g} s",
            "the limit reached": "never" if reached is None else f"within {reached:.0f} s",
            "in the last stretch": f"{last.ended / last.length_s:.0f} jobs/s, {last.claims_percent}% claimed",
            "jobs that waited": max(sample.waiting_jobs for sample in ran.samples),
            "all recorded": f"{ran.recorded_after_s:.0f} s after Postgres was back",
        }
        | _found(ran.jobs, ran.verdict)
    )
    return ran.verdict.broken


async def _effects(screen: Screen, jobs: int, seed: int, *, control: bool = False) -> list[str]:
    without = ", without the key that judges" if control else ""
    screen.begin(f"{jobs:,} jobs enqueued in transactions, under every fault{without} (seed {seed})")
    ran = await effects.run(jobs, effects.LONG, effects.CREW, seed=seed, say=screen.say, control=control)
    verdict = ran.verdict
    a_job = verdict.starts / max(1, verdict.jobs)
    screen.facts(
        {
            "took": f"{ran.took_s:.0f} s",
            "nothing moved any more": f"{ran.settled_s:.0f} s after the last fault",
            "transactions": ", ".join(f"{count:,} {fate}" for fate, count in ran.transactions.items()),
            "jobs": verdict.jobs,
            "jobs rolled back": verdict.rolled_back,
            "jobs in doubt": f"{verdict.in_doubt:,}, of which {verdict.turned_out:,} had been committed",
            "jobs with an id used again": ran.ids_again,
            "runs begun": f"{verdict.starts:,}, {a_job:.2f} a job, at most {verdict.most_starts}",
            "runs that found the effect": ran.barred,
            "jobs that ended again": verdict.ended_again,
        }
        | dict(sorted(ran.met.items()))
        | {
            "COMMITs cut, of producers": _counted(ran.producers_cut),
            "COMMITs cut, of daemons": _counted(ran.daemons_cut),
            "answers of Redis swallowed": _counted(ran.answers_swallowed),
        }
    )
    return verdict.broken


async def _schedules(
    screen: Screen, seconds: int, seed: int, *, control: bool = False, redis_only: bool = False
) -> list[str]:
    where = " in Redis alone" if redis_only else ""
    without = ", and nobody who judges" if control else ""
    screen.begin(f"Schedules{where} for {seconds:,} s, under every fault{without} (seed {seed})")
    plan = schedules.a_plan(seconds, redis_only=redis_only)
    ran = await schedules.run(
        seconds, plan, schedules.Crew(), seed=seed, say=screen.say, control=control, redis_only=redis_only
    )
    verdict, late = ran.verdict, ran.late_ms
    screen.facts(
        {
            "took": f"{ran.took_s:.0f} s",
            "clocks of the daemons, as logged": ", ".join(f"{skew:+} s" for skew in ran.skews_s),
        }
        | dict(sorted(ran.met.items()))
        | {
            "due times": verdict.due_times,
            "became jobs": verdict.fired,
            "passed over": verdict.passed,
            "runs begun": verdict.runs,
            "began again": verdict.ran_again,
            "ended again": verdict.ended_again,
            "late, at calm times": _late(late) if late else "there was none",
        }
    )
    return verdict.broken


def _late(late_ms: Sequence[float]) -> str:
    p50, p99 = (late_ms[int(len(late_ms) * part)] for part in (0.5, 0.99))
    return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, at most {late_ms[-1]:.0f} ms, of {len(late_ms):,} runs"


def _counted(counts: Counter[str]) -> str:
    return f"{counts.total():,} ({', '.join(f'{count:,} {name}' for name, count in sorted(counts.items()))})"


def _found(jobs: int, verdict: Verdict) -> dict[str, object]:
    facts: dict[str, object] = {"jobs": jobs, "attempts begun": verdict.attempts, "rows": verdict.rows}
    facts |= {f"  {outcome}": count for outcome, count in sorted(verdict.outcomes.items())}
    return facts | {f"  {outcome} before they began": count for outcome, count in sorted(verdict.unbegun.items())}


async def _control(screen: Screen, options: argparse.Namespace) -> list[str]:
    """Run with each fault; return those that nobody saw."""
    names, jobs, seed, unseen = options.names, options.jobs, options.seed, list[str]()
    if "records" in names:
        unseen += await _control_records(screen, jobs or control.JOBS, seed)
    if "effects" in names:
        found = await _effects(screen, jobs or effects.JOBS, seed, control=True)
        for words in found:
            screen.say(f"seen: {words}")
        if not any("twice" in words for words in found):
            unseen.append("effects did not happen twice without the key")
    if "schedules" in names:
        seconds = min(options.seconds, schedules.CONTROL_SECONDS)
        found = await _schedules(screen, seconds, seed, control=True, redis_only=options.redis_only)
        for words in found:
            screen.say(f"seen: {words}")
        if not any(schedules.DOUBLES in words for words in found):
            unseen.append("due times did not become two jobs without a judge")
    return unseen


async def _control_records(screen: Screen, jobs: int, seed: int) -> list[str]:
    unseen: list[str] = []
    for fault in control.FAULTS:
        screen.begin(f"a daemon that breaks a promise: {fault}")
        found = await control.seen(fault, jobs=jobs, seed=seed, say=screen.say)
        for words in found:
            screen.say(f"seen: {words}")
        if not found:
            unseen.append(f"{fault} was not seen")
    return unseen


async def _run(screen: Screen, options: argparse.Namespace) -> list[str]:
    if options.control:
        return await _control(screen, options)
    broken: list[str] = []
    if "records" in options.names:
        broken += await _records(screen, options.jobs or records.JOBS, options.seed)
    if "outage" in options.names:
        broken += await _outage(screen, duration_ms(options.away) / 1000)
    if "effects" in options.names:
        broken += await _effects(screen, options.jobs or effects.JOBS, options.seed)
    if "schedules" in options.names:
        broken += await _schedules(screen, options.seconds, options.seed, redis_only=options.redis_only)
    return broken


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Long runs with faults.")
    parser.add_argument("names", nargs="*", metavar="RUN", help=f"{', '.join(_RUNS)}; all, unless named")
    parser.add_argument("--jobs", type=int, help=f"of records ({records.JOBS:,}), or effects ({effects.JOBS:,})")
    parser.add_argument("--seed", type=int, default=1, help="of when what fails (1)")
    parser.add_argument("--away", default="10m", metavar="TIME", help="how long Postgres is away in outage (10m)")
    seconds = schedules.SECONDS
    parser.add_argument("--seconds", type=int, default=seconds, help=f"of schedules ({seconds})")
    parser.add_argument("--redis-only", action="store_true", help="schedules without Postgres")
    parser.add_argument("--control", action="store_true", help="run daemons with faults, which the laws have to see")
    options = parser.parse_args()
    if unknown := set(options.names) - set(_RUNS):
        parser.error(f"there is no run {', '.join(sorted(unknown))}; there are {', '.join(_RUNS)}")
    options.names = options.names or _RUNS
    configure_logs("ERROR")  # that a server is away is the run's doing
    screen = Screen()
    try:
        broken = asyncio.run(_run(screen, options))
    except KeyboardInterrupt:
        return 130
    screen.verdict(broken, kept="every fault was seen" if options.control else "every promise was kept")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
