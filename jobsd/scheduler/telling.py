"""What a daemon says of its schedules when it has started: how many it declares, which is next, and which are over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobsd.clock import utc_from_ms
from jobsd.events import Event
from jobsd.logger import log
from jobsd.schedule.decide import next_due
from jobsd.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobsd.scheduler.plans import Plan, Plans

_AT_ONCE = 100
_MOST_NAMED = 20


async def tell_of(declared: Collection[str], plans: Plans, now: int) -> None:
    """Say it of those ``declared`` here, as they are planned at ``now``, the server's epoch ms; of none nothing."""
    upcoming: list[tuple[int, str]] = []
    over: list[str] = []
    for number, name in enumerate(declared, 1):
        plan = plans.get(name)
        if plan is not None:
            due = _next_of(plan, now)
            if due is not None:
                upcoming.append((due, name))
            elif _is_over(plan):
                over.append(name)
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    if declared:
        log.info(Event.SCHEDULES_DECLARED, schedules=len(declared), **_soonest(upcoming, plans))
    if over:
        log.warning(
            Event.SCHEDULES_ENDED,
            schedules=over[:_MOST_NAMED],
            **({"more": len(over) - _MOST_NAMED} if len(over) > _MOST_NAMED else {}),
            consequence="nothing of them is due any more",
            remedy="take them out, or give them another time",
        )


def _next_of(plan: Plan, now: int) -> int | None:
    schedule, expression, state = plan.schedule, plan.expression, plan.state
    due = next_due(schedule, expression, state, state.cursor)  # it was asked for a moment ago, and costs nothing
    # What was due while nobody was there is decided in this moment: that is not what is to come.
    return due if due is None or due > now else next_due(schedule, expression, state, now) or due


def _is_over(plan: Plan) -> bool:
    """Say whether what is not due is so by its times: not for a pause, and not because it has had its runs."""
    schedule, state = plan.schedule, plan.state
    had = schedule.max_runs is not None and state.runs + len(state.waiting) >= schedule.max_runs
    return schedule.enabled and state.paused_at is None and not state.waiting and not had


def _soonest(upcoming: list[tuple[int, str]], plans: Plans) -> dict[str, str]:
    if not upcoming:
        return {}
    due, name = min(upcoming)
    at = utc_from_ms(due).astimezone(zone_named(plans[name].schedule.zone))
    return {"next": name, "next_at": at.isoformat(timespec="seconds")}
