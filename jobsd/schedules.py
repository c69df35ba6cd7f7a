"""Schedules, asked and steered: in a service by the addresses of its environment, in a task by those of its daemon.

    from jobsd import schedules

    entry = await schedules.every("backup:database", "24h", args={"full": True})
    await schedules.pause("daily-cleanup", by="ana")
    ended = await schedules.trigger("daily-cleanup", wait="30s")
    await schedules.remove(entry)

Run-time schedules are kept in Postgres, and fire on every daemon. What each function raises is said in
``jobsd.admin.schedules``, where the same questions can be asked of given addresses; all raise NotConfiguredError if no
address is known. Connections are made at first use, in each event loop, and close with it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd.ambient import WAYS, redis_url_of
from jobsd.errors import NotConfiguredError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Sequence
    from datetime import datetime, timedelta

    from jobsd.admin.schedule_views import DueTimes, PastDue, ScheduleView, Triggered
    from jobsd.admin.schedules import Schedules
    from jobsd.definition import Task


class Addresses(NamedTuple):
    """``zone`` is that of run-time schedules which name none."""

    redis_url: str
    database_url: str | None
    zone: str


of_daemon: Addresses | None = None
"""Those of the daemon, or of its child, that this process is."""

_open: dict[asyncio.AbstractEventLoop, tuple[Schedules, AsyncGenerator[Schedules, None]]] = {}


async def list() -> Sequence[ScheduleView]:  # noqa: A001 - read as schedules.list()
    """Return how all schedules stand, by name."""
    return await (await _schedules()).list()


async def get(name: str) -> ScheduleView:
    """Return how one stands: its state, next and last run, why it does not run now. Raises ScheduleNotFoundError."""
    return await (await _schedules()).get(name)


async def next(name: str, count: int = 5) -> Sequence[datetime]:  # noqa: A001 - read as schedules.next(…)
    """Return its next due times, UTC. Raises ScheduleNotFoundError."""
    return await (await _schedules()).next(name, count)


async def history(
    name: str | None = None, limit: int = 20, *, since: datetime | None = None, passed: bool = False
) -> Sequence[PastDue]:
    """Return what came of due times, the latest first, of one schedule or of all.

    ``since``: from then on; ``passed``: only what was passed over. Raises ScheduleNotFoundError.
    """
    return await (await _schedules()).history(name, limit, since=since, passed=passed)


async def add(name: str | None = None, *, replace: bool = False, **options: Any) -> str:
    """Keep a new schedule, with the options of the settings, and return its name.

    With ``replace`` a run-time schedule of that name becomes this one and keeps its past; the same changes nothing, so
    that a service may add what it needs at each start. Without ``zone`` it has that of JOBSD_TIMEZONE, else UTC: a
    service reads no jobsd.toml. Inside of a daemon it has the daemon's.

    Raises ScheduleDefinitionError (all that is wrong), InvalidArgumentsError, ScheduleExistsError.
    """
    return await (await _schedules()).add(name, replace=replace, **options)


async def once(
    task: str | Task[..., Any],
    *,
    at: datetime | None = None,
    delay: str | timedelta | None = None,
    name: str | None = None,
    **options: Any,
) -> str:
    """Run ``task`` once, at an instant or after a time; return the entry's name, for ``remove``.

    Raises InvalidOptionError, and what ``add`` raises.
    """
    return await (await _schedules()).once(task, at=at, delay=delay, name=name, **options)


async def every(task: str | Task[..., Any], interval: str | timedelta, **options: Any) -> str:
    """Run ``task`` each time so long has passed; return the entry's name, for ``remove``. Raises as ``add`` does."""
    return await (await _schedules()).every(task, interval, **options)


async def update(name: str, /, **changes: Any) -> None:
    """Change options of a run-time schedule; not its name.

    Raises ScheduleNotFoundError, ScheduleOwnedError, InvalidOptionError, and what ``add`` raises.
    """
    await (await _schedules()).update(name, **changes)


async def remove(name: str) -> bool:
    """Let a run-time schedule be no more; False if there is none of that name. Raises ScheduleOwnedError."""
    return await (await _schedules()).remove(name)


async def pause(name: str, *, by: str = "") -> bool:
    """Let it fire no more until it is resumed; False if it was paused already. Raises ScheduleNotFoundError."""
    return await (await _schedules()).pause(name, by=by)


async def resume(name: str) -> bool:
    """Let it fire again; False if it was not paused. Raises ScheduleNotFoundError."""
    return await (await _schedules()).resume(name)


async def trigger(name: str, *, wait: float | str | timedelta | None = "30s") -> Triggered:
    """Run it now, and wait for the outcome so long at the most: afterwards it is "accepted", with the job's id.

    Raises ScheduleNotFoundError; ScheduleBusyError where its last run has not ended and may not be overlapped.
    """
    return await (await _schedules()).trigger(name, wait=wait)


def check(text: str, *, zone: str = "UTC", seconds: bool = False, count: int = 5) -> DueTimes:
    """Return an expression in words, and its next due times; needs no server. Raises ExpressionError."""
    from jobsd.admin.schedules import check as checked  # noqa: PLC0415 - see _schedules

    return checked(text, zone=zone, seconds=seconds, count=count)


async def close() -> None:
    """Close this event loop's connections, if it has any; the next question makes new ones."""
    import asyncio  # noqa: PLC0415 - see _schedules

    if found := _open.get(asyncio.get_running_loop()):
        await found[1].aclose()


async def _schedules() -> Schedules:
    """Return this event loop's. They close with the loop: asyncio.run finalizes its generators."""
    import asyncio  # noqa: PLC0415 - whoever imports the tasks' modules imports this one too, and may ask nothing

    loop = asyncio.get_running_loop()
    if loop not in _open:
        held = _hold(of_daemon or _of_environment(), loop)
        _open[loop] = await anext(held), held
    return _open[loop][0]


async def _hold(addresses: Addresses, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[Schedules, None]:
    from contextlib import AsyncExitStack  # noqa: PLC0415 - see _schedules

    from jobsd.admin.opening import open_on  # noqa: PLC0415 - see _schedules

    redis_url, database_url, zone = addresses
    try:
        # No generator inside of this one: a loop that ends closes all at once, and not the outer ones first.
        async with AsyncExitStack() as stack:
            yield await open_on(stack, redis_url, database_url, zone=zone)
    finally:
        _open.pop(loop, None)


def _of_environment() -> Addresses:
    """Return the addresses that the environment names, else those of a running ``jobsd dev``."""
    zone = os.environ.get("JOBSD_TIMEZONE") or "UTC"
    database_url = os.environ.get("JOBSD_DATABASE_URL") or os.environ.get("DATABASE_URL") or None
    if database_url is not None:  # as SQLAlchemy writes it, with a driver
        database_url = re.sub(r"^(\w+)\+\w+://", r"\1://", database_url)
    redis_url = redis_url_of(os.environ)
    if redis_url is not None:
        return Addresses(redis_url, database_url, zone)
    try:
        from jobsd.embedded.places import Places, state_directory  # noqa: PLC0415 - embedded is an extra
    except ModuleNotFoundError:
        raise NotConfiguredError(what="Redis", ways=WAYS) from None
    places = Places(state_directory())
    if not places.valkey_socket.exists():
        raise NotConfiguredError(what="Redis", ways=WAYS)
    if database_url is None and places.postgres_socket.exists():
        database_url = places.database_url
    return Addresses(places.redis_url, database_url, zone)
