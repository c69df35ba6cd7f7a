"""Runs a task under its limits: whatever happens in there becomes an Outcome."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from jobsd.arguments import MisfitError
from jobsd.clock import monotonic
from jobsd.delays import DEFAULT, Backoff
from jobsd.duration import duration_ms
from jobsd.engine.attempt import Attempt, Stop
from jobsd.engine.decide import Policy
from jobsd.engine.effects import done_before, done_in_child, say_swallowed, settled
from jobsd.engine.gates import Opening
from jobsd.engine.outcomes import expired, outcome_of, stopped_outcome
from jobsd.engine.texts import MESSAGE_LIMIT, capped, message_of
from jobsd.events import Event
from jobsd.hours import Hours
from jobsd.logger import log
from jobsd.outcome import (
    Dropped,
    Expired,
    Failed,
    Interrupted,
    Outcome,
    Snoozed,
    Succeeded,
    TooEarly,
    UnknownTask,
    Untagged,
)
from jobsd.store.codec import PAYLOAD_START, UndecodableError
from jobsd.store.looks import noted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobsd.definition import Task
    from jobsd.engine.calling import Caller
    from jobsd.engine.children.pool import Children
    from jobsd.engine.options import WorkerOptions
    from jobsd.redaction import Policies
    from jobsd.store.codec import Codec, Payload


N = TypeVar("N", Failed, Expired | None)

_CANCEL_AGAIN_S = 1.0


class _TooLateError(Exception):
    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class Runner:
    """Looks a job's task up, checks its arguments, runs it with a timer: here, or in one of the ``children``."""

    def __init__(
        self,
        tasks: Mapping[str, Task[..., Any]],
        options: WorkerOptions,
        caller: Caller,
        codec: Codec,
        policies: Policies,
        *,
        children: Children | None = None,
        timezone: str = "UTC",
    ) -> None:
        self._tasks = tasks
        self._caller = caller
        self._codec = codec
        self._policies = policies
        self._children = children
        self._timeout_ms = duration_ms(options.timeout)
        self._retries = options.retries
        self._max_losses = options.max_losses
        self._cancel_grace_s = options.cancel_grace.total_seconds()
        self._loop = asyncio.get_running_loop()
        self._openings = {
            task.name: Opening(Hours.parse(task.hours, timezone)) for task in tasks.values() if task.hours is not None
        }

    async def run(self, attempt: Attempt) -> Outcome:  # noqa: C901 - the way of every job, with no call more than it needs
        """Run the attempt to its end; nothing but its outcome comes out of here."""
        attempt.running = True
        try:
            prepared = self._prepare(attempt)
            too_late = expired(attempt, attempt.lease.started_at)
        except UndecodableError as error:
            return Failed("UndecodableError", capped(str(error), MESSAGE_LIMIT), for_good=True)
        except Exception as error:  # noqa: BLE001 - options may be wrong, and a validator of the user's may raise anything
            failed = Failed("InvalidArgumentsError", self._told(attempt, error), for_good=True)
            return await self._unless_done(attempt, failed)
        if attempt.stop is not None:
            stopped = stopped_outcome(attempt, asyncio.CancelledError())
            return Interrupted() if stopped is None else stopped
        if prepared is None:
            assert attempt.payload is not None  # noqa: S101 - it was read, or an error was raised
            return UnknownTask(attempt.payload.task)
        ends = too_late is not None or attempt.may_be_done
        if ends and (ended := await self._unless_done(attempt, too_late)) is not None:
            return ended
        task, payload, args, kwargs = prepared
        if (task.hours is not None or task.resources) and (not_yet := self._not_yet(attempt, task)):
            return not_yet
        if self._children is not None and (task.executor is not None or attempt.losses):
            return await self._run_in_child(attempt, task, self._children)
        timer, returned = self._begin(attempt), None
        try:
            returned = outcome = Succeeded(await self._caller.call(task, attempt.lease, payload, args, kwargs))
        except BaseException as error:  # noqa: BLE001 - not even SystemExit of a task may end the worker
            outcome = outcome_of(attempt, error)
        else:
            stopped = stopped_outcome(attempt, None)
            outcome = returned if stopped is None else stopped  # an outcome without fields is not true
            if attempt.lease.over:
                say_swallowed(attempt)
        finally:
            timer.cancel()
        attempt.lease.over = True
        return outcome if attempt.lease.effect is None else await settled(attempt, outcome, returned)

    async def _run_in_child(self, attempt: Attempt, task: Task[..., Any], children: Children) -> Outcome:
        timer: asyncio.TimerHandle | None = None

        def begin() -> None:
            nonlocal timer
            if timer is not None:
                timer.cancel()
            # To start a child takes a while.
            if (too_late := expired(attempt, attempt.now)) is not None:
                raise _TooLateError(too_late)
            timer = self._begin(attempt)

        try:
            outcome = await children.run(attempt, task, begin)
        except _TooLateError as error:
            return error.outcome
        except BaseException as error:  # noqa: BLE001 - as above
            outcome = outcome_of(attempt, error)
        else:
            attempt.cleared = isinstance(outcome, Succeeded | Failed | Snoozed | Dropped) and attempt.stop is None
            stopped = stopped_outcome(attempt, None if isinstance(outcome, Succeeded) else asyncio.CancelledError())
            if stopped is not None and not (_stands(outcome) and attempt.stop is not Stop.LEASE_LOST):
                outcome = stopped
        finally:
            if timer is not None:
                timer.cancel()
        return outcome if attempt.called_at is None else await done_in_child(attempt, outcome, self._caller.db)

    async def _unless_done(self, attempt: Attempt, otherwise: N) -> Outcome | N:
        """Return the outcome of a job that an earlier run has done, if it may be one."""
        if not attempt.may_be_done:
            return otherwise
        done = await done_before(attempt, self._caller.db)
        return otherwise if done is None else done

    def _begin(self, attempt: Attempt) -> asyncio.TimerHandle:
        """Note that the function is called now; the timer cancels it."""
        attempt.called_at = monotonic()
        if attempt.policy is not None and attempt.policy.deadline is not None:
            attempt.timeout_ms = max(1, min(attempt.timeout_ms, attempt.policy.deadline - attempt.now))
        return self._loop.call_later(attempt.timeout_ms / 1000, self._expire, attempt)

    def _prepare(self, attempt: Attempt) -> tuple[Task[..., Any], Payload, tuple[Any, ...], dict[str, Any]] | None:
        """Read the job and look its task up; None if nobody here knows the task."""
        lease = attempt.lease
        payload = attempt.payload = self._codec.decode(lease.payload)
        task = attempt.task = self._tasks.get(payload.task)
        if task is None:
            return None
        options = payload.options
        attempt.timeout_ms = int(options.get("t") or task.timeout_ms or self._timeout_ms)
        attempt.policy = self._policy(attempt, task, options)
        args, kwargs = task.arguments.validate(payload.args, payload.kwargs)
        return task, payload, args, kwargs

    def _told(self, attempt: Attempt, error: Exception) -> str:
        """Return what the error says, without the values of arguments that the ledger does not show."""
        if isinstance(error, MisfitError) and attempt.payload is not None:
            policy = self._policies[attempt.payload.task].marking(attempt.payload.secrets)
            return capped(error.told(policy), MESSAGE_LIMIT)
        return message_of(error)

    def _not_yet(self, attempt: Attempt, task: Task[..., Any]) -> TooEarly | Untagged | None:
        """Return why the job has to wait for what its task asks for, if it does."""
        if task.name in self._openings:
            now = attempt.now
            opens, _ = self._openings[task.name].at(now)
            if opens > now:
                return TooEarly(opens)
        if task.resources and (attempt.lease.payload or b"").startswith(PAYLOAD_START):
            assert attempt.payload is not None  # noqa: S101 - it was read
            limits = with_resources(attempt.payload.limits, task.resources)
            if limits != attempt.payload.limits:
                return Untagged(limits)
        return None

    def _policy(self, attempt: Attempt, task: Task[..., Any], options: dict[str, Any]) -> Policy:
        retries = int(options["r"]) if "r" in options else task.retries
        backoff = Backoff.from_wire(options["b"]) if "b" in options else task.backoff
        failures = losses = 0
        if attempt.lease.side:
            facts = noted(attempt.lease.side)
            failures, losses = int(facts.get("f", 0)), int(facts.get("l", 0))
            attempt.losses = losses
            attempt.doubts = int(facts.get("d", 0))
            attempt.may_be_done = losses > 0 or attempt.doubts > 0
        deadline = int(options["dl"]) if "dl" in options else None
        retries = self._retries if retries is None else retries
        return Policy(failures, retries, backoff or DEFAULT, deadline, losses, self._max_losses)

    def _expire(self, attempt: Attempt) -> None:
        attempt.cancel(Stop.TIMEOUT)
        self.watch(attempt)

    def watch(self, attempt: Attempt) -> None:
        """Report a cancelled function that has not ended within the grace, and cancel it again, until it ends.

        It keeps its slot and its lease. Not every such function resists: on Python 3.11 ``asyncio.wait_for``
        can lose a cancellation.
        """

        def again() -> None:
            if attempt.runs_in is None or attempt.runs_in.done():
                return
            if not attempt.resisting:
                attempt.resisting = True
                task = attempt.payload.task if attempt.payload else None
                log.warning(
                    Event.JOB_RESISTED,
                    job_id=attempt.lease.id,
                    task=task,
                    reason=attempt.reason,
                )
            attempt.runs_in.cancel()
            self._loop.call_later(max(self._cancel_grace_s, _CANCEL_AGAIN_S), again)

        self._loop.call_later(self._cancel_grace_s, again)


def _stands(outcome: Outcome) -> bool:
    """Say whether it is what it is although the function was stopped: it has committed, or may have."""
    return outcome.committed if isinstance(outcome, Succeeded) else isinstance(outcome, Failed) and outcome.in_doubt


def with_resources(limits: str, resources: Sequence[str]) -> str:
    """Return the limits text of a job with those resources in it that its caller did not name.

    >>> with_resources("k=acme,r=stripe,u=00/60000", ["maps"])
    'k=acme,r=maps,r=stripe,u=00/60000'
    """
    parts = limits.split(",") if limits else []
    missing = [f"r={name}" for name in resources if f"r={name}" not in parts]
    if not missing:
        return limits
    lanes = [part for part in parts if part.startswith(("k=", "r="))]
    return ",".join([*sorted([*lanes, *missing]), *parts[len(lanes) :]])
