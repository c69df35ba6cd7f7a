"""A committed effect decides about its job: what ``ctx.transaction()`` means for the outcome of a run.

What the function did after the commit, or what was done to it, changes nothing any more. A job of which an earlier run
may have committed is not called before Postgres was asked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.delays import exponential
from jobsd.engine.attempt import Stop
from jobsd.engine.endings import told
from jobsd.engine.outcomes import in_doubt, stopped_outcome
from jobsd.engine.texts import MESSAGE_LIMIT, capped
from jobsd.engine.threads import GIVE_UP
from jobsd.errors import InDoubtError, TransactionError
from jobsd.events import Event
from jobsd.logger import log
from jobsd.outcome import Cancelled, Died, Interrupted, LeaseLost, Outcome, Succeeded, TimedOut
from jobsd.store.looks import noted

if TYPE_CHECKING:
    from jobsd.engine.attempt import Attempt
    from jobsd.records.once import Found

_ASKED_WITHIN_S = 2.0
_STOPPED_WITHIN_S = 10.0
_BEFORE = "done before: the effect of another run is committed"
_ASKED_AGAIN = exponential("2s", factor=2, cap="1m", jitter=False)


async def settled(attempt: Attempt, outcome: Outcome, returned: Succeeded | None = None) -> Outcome:
    """Return what a run amounts to that has opened ``ctx.transaction()``. It waits for a COMMIT that is under way.

    ``returned`` is what the function returned, perhaps too late for ``outcome``.
    """
    effect = attempt.lease.effect
    if effect is not None and effect.decision is not None:
        await _wait_for(effect.decision, attempt)
    elif effect is not None:
        await effect.undo()  # a thread was interrupted on its way out of the block, or something was not waited for
    return decided(attempt, outcome, returned)


def decided(attempt: Attempt, outcome: Outcome, returned: Succeeded | None = None) -> Outcome:
    """Return what a run amounts to, as far as that is known now. Nothing else of it is going to commit."""
    attempt.lease.over = True
    effect = attempt.lease.effect
    if effect is None:
        return outcome
    if attempt.stop is Stop.LEASE_LOST:
        return LeaseLost()
    match effect.state:
        case "committed":
            return _kept(attempt, effect.result, returned or outcome, given=effect.given)
        case "found":
            return _found(attempt, effect.result)
        case "deciding" | "doubt":
            return in_doubt(effect.doubt or InDoubtError(job_id=attempt.lease.id, cause="no answer in time"))
        case "undone" if effect.unreached is not None and noted(attempt.lease.side).get("l"):
            # Its loss may have come behind a commit, and now it is known to be of those that have one.
            return in_doubt(_unheard(attempt, effect.unreached))
        case "opening" | "open" | "undone":
            return outcome


async def done_before(attempt: Attempt, pool: Any) -> Outcome | None:
    """Return the outcome of a job of which another run has committed; None: its function may be called.

    Where Postgres does not say, a job in doubt waits. One that was merely lost is called: it may be none that commits,
    and ``ctx.transaction()`` asks again.
    """
    if pool is None or attempt.payload is None:
        return None
    from jobsd.records.effects import find_effect  # noqa: PLC0415 - what has no database needs no asyncpg

    try:
        async with asyncio.timeout(_ASKED_WITHIN_S):
            found = await find_effect(pool, attempt.lease.id, attempt.payload.incarnation)
    except asyncio.CancelledError as error:
        stopped = stopped_outcome(attempt, error)
        return Interrupted() if stopped is None else stopped
    except TransactionError:  # their pool is not one that ctx.transaction() could have used
        found = None
    except Exception as error:  # noqa: BLE001 - see above
        if not attempt.doubts:
            return None
        return in_doubt(_unheard(attempt, error), _ASKED_AGAIN.delay_ms(attempt.doubts + 1))
    attempt.doubts = 0
    return None if found is None else _done(attempt, found)


async def done_in_child(attempt: Attempt, outcome: Outcome, pool: Any) -> Outcome:
    """Return the outcome of a run whose child process died, or was killed: it may have committed first."""
    payload = attempt.payload
    if pool is None or payload is None or not isinstance(outcome, Died | TimedOut | Cancelled | Interrupted):
        return outcome
    from jobsd.records.effects import await_effect  # noqa: PLC0415 - what has no database needs no asyncpg

    try:
        async with asyncio.timeout(_ASKED_WITHIN_S):
            found = await await_effect(pool, attempt.lease, payload.incarnation, payload.task)
    except (Exception, asyncio.CancelledError):  # noqa: BLE001 - the next attempt asks, if there is one
        return outcome
    if found is None:
        return outcome
    return _kept(attempt, _result_of(found), outcome) if found.token == attempt.lease.mark else _done(attempt, found)


def say_swallowed(attempt: Attempt) -> None:
    """Say of a function that came to its end although it was to sleep."""
    log.warning(
        Event.SLEEP_SWALLOWED,
        job_id=attempt.lease.id,
        task=attempt.payload.task if attempt.payload else None,
        attempt=attempt.lease.attempt,
        cause="ctx.sleep() ends the function by an exception, which it has caught",
        consequence="the job has not slept: it ends as its function did",
    )


async def _wait_for(decision: asyncio.Task[bool], attempt: Attempt) -> None:
    """Wait until it has ended; while the function is to stop, not for long."""
    until: float | None = None
    while not decision.done():
        if until is None and attempt.stop is not None:
            until = monotonic() + _STOPPED_WITHIN_S
        try:
            await asyncio.wait({decision}, timeout=None if until is None else max(0.0, until - monotonic()))
        except asyncio.CancelledError as error:
            if GIVE_UP in error.args:
                return
            until = until or monotonic() + _STOPPED_WITHIN_S
        if until is not None and monotonic() >= until:
            return
    if not decision.cancelled():
        decision.exception()  # it is known by the effect's state


def _kept(attempt: Attempt, result: Any, outcome: Outcome, *, given: bool = True) -> Succeeded:
    """Return that the job has succeeded, and say what happened to its function afterwards, unless it returned."""
    if isinstance(outcome, Succeeded):
        return outcome._replace(result=result if given else outcome.result, committed=True)
    kind, message, trace = told(outcome)
    cause = ": ".join(text for text in (kind, message) if text)
    shown = {} if trace is None else {"exception": trace}  # as the text that it is, of another process perhaps
    log.warning(
        Event.EFFECT_KEPT,
        job_id=attempt.lease.id,
        task=attempt.payload.task if attempt.payload else None,
        attempt=attempt.lease.attempt,
        cause=cause,
        consequence="the job has succeeded: its effect was committed before",
        **shown,
    )
    return Succeeded(
        result, message=capped(f"its effect is committed; afterwards {cause}", MESSAGE_LIMIT), committed=True
    )


def _unheard(attempt: Attempt, error: Exception) -> InDoubtError:
    from jobsd.records.pool import in_words  # noqa: PLC0415 - as above

    return InDoubtError(job_id=attempt.lease.id, cause=in_words(error))


def _done(attempt: Attempt, found: Found) -> Succeeded:
    return _found(attempt, _result_of(found))


def _found(attempt: Attempt, result: Any) -> Succeeded:
    log.info(
        Event.EFFECT_FOUND,
        job_id=attempt.lease.id,
        task=attempt.payload.task if attempt.payload else None,
        attempt=attempt.lease.attempt,
        consequence="this run ends with the result of the one that committed",
    )
    return Succeeded(result, message=_BEFORE, committed=True)


def _result_of(found: Found) -> Any:
    from jobsd.records.once import value_of  # noqa: PLC0415 - as above

    return value_of(found.result)
