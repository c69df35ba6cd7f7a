"""What a job need not repeat: steps that ran once and are remembered on its other attempts, and sleeps that are over.

A step of a plain function is noted after it ran; that of a transaction commits with it (once.py). Whichever run of the
job is first is right: the others take its result. How a step's function is called is in stepping.py.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from jobsd.clock import monotonic
from jobsd.errors import StepError
from jobsd.events import Event
from jobsd.logger import log
from jobsd.outcome import Asleep
from jobsd.records.once import (
    OVER,
    SETTLED_WITHIN_S,
    Found,
    Once,
    Row,
    check_pool,
    insisting,
    is_over,
    json_of,
    open_step,
    text_of,
    value_of,
)
from jobsd.records.pool import OUT_OF_REACH, in_words
from jobsd.records.queries import query

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

    from jobsd.store.jobs import Lease

_LONGEST_KEY = 128
_SLEEP = "sleep:"
_INSIDE = "it is not for the inside of {}, which may yet be rolled back: do it before"
_IN_TRANSACTION = _INSIDE.format("ctx.transaction()")
_IN_STEP = _INSIDE.format("a function of ctx.step_transaction()")
_NO_KEY = 'the first argument is the name of the step: ctx.step("{0}", {0}, …)'
_FUNCTION = "it takes a function and its arguments, not what the function returned"

_AGAIN = *OUT_OF_REACH, asyncpg.TransactionRollbackError

_noting: set[asyncio.Task[Any]] = set()
"""What goes on although its step was cancelled: a step that ran, or a COMMIT that was sent."""


class _Past(NamedTuple):
    position: int
    result: str | None


class Steps:
    """The steps of one attempt. ``pool`` is asyncpg's."""

    def __init__(self, pool: Any, lease: Lease, incarnation: str) -> None:
        self._pool = check_pool(pool)
        self._lease = lease
        self._job = text_of(lease.id), text_of(incarnation)
        self._token = text_of(lease.mark)
        self._calls: dict[str, int] = {}
        """Keys of this attempt, with the number of the call."""
        self._count = self._sleeps = 0
        self._past: dict[str, _Past] = {}
        self._now_ms = 0  # of the server, when it was read
        self._read_at = 0.0
        self._told_of_order = False
        # On the first attempt, too: its worker may have been taken for dead, or Redis may have forgotten what followed.
        self._to_read = True
        self._reading = asyncio.Lock()

    async def begin(self, key: str, function: Any) -> Step:
        """Return the step; it is ``done`` if it ran before. Raises StepError."""
        _check(key, function)
        return await self._begin(key)

    async def sleep(self, delay_ms: int) -> None:
        """Return when the sleep is over, as a remembered one is; else raise Asleep."""
        self._sleeps += 1
        step = await self._begin(f"{_SLEEP}{self._sleeps}")
        if step.done and int(step.result) <= self._now_ms + (monotonic() - self._read_at) * 1000:
            return
        row = *self._job, step.key, self._token, step.position, delay_ms
        while (left_ms := await self._pool.fetchval(query("sleep"), *row)) is None:
            pass  # another run has begun it in this very moment
        if left_ms > 0:
            self._lease.over = self._lease.over or Asleep(left_ms)
            raise Asleep(left_ms)

    async def _begin(self, key: str) -> Step:
        self.check_running(key)
        if open_step.get() is self._lease:
            raise StepError(step=key, problem=_IN_STEP)
        if self._lease.effect is not None and self._lease.effect.state in {"opening", "open"}:
            raise StepError(step=key, problem=_IN_TRANSACTION)
        if key in self._calls:
            raise StepError(step=key, problem="its key is taken by another of this attempt; give each its own")
        self._count += 1
        position = self._calls[key] = self._count
        if self._to_read:
            await self._read()
        step = Step(self, key, position)
        past = self._past.get(key)
        if past is not None:
            step.done, step.result = True, value_of(past.result)
            if past.position != position:
                self._tell_of_order(key, past.position, position)
        return step

    async def _read(self) -> None:
        async with self._reading:
            if not self._to_read:
                return
            rows = await self._pool.fetch(query("steps"), *self._job)
            self._read_at, self._to_read = monotonic(), False
            self._past = {row["key"]: _Past(row["position"], row["result"]) for row in rows}
            self._now_ms = rows[0]["now_ms"] if rows else 0

    def _tell_of_order(self, key: str, then: int, now: int) -> None:
        """Say it of the first: those behind it have moved with it."""
        if not self._told_of_order:
            self._told_of_order = True
            log.warning(
                Event.STEPS_REORDERED,
                step=key,
                position_then=then,
                position_now=now,
                consequence="steps are told apart by their keys: what has run is not run again, in whichever order",
            )

    # --- what a step asks of us ---------------------------------------------------------------------

    def check_running(self, key: str) -> None:
        """Raise StepError if the run's function has ended, Asleep if it is to end."""
        if is_over(self._lease):
            raise StepError(step=key, problem=OVER)

    @contextmanager
    def holding(self) -> Generator[None]:
        """Let whatever begins in here know that a step's transaction is open."""
        before = open_step.set(self._lease)
        try:
            yield
        finally:
            open_step.reset(before)

    def once(self, step: Step) -> Once:
        return Once(self._pool, self._row(step, None))

    async def note(self, step: Step, result: str) -> Found | None:
        """Remember it; what another run has noted before is returned. Repeated until it is answered."""
        row = self._row(step, result)

        async def insert() -> Found | None:
            if await self._pool.fetchval(row.insert, *row.key, row.token, *row.rest) is not None:
                return None
            return Found(*await self._pool.fetchrow(row.find, *row.key, None))

        try:
            return await insisting(insert, SETTLED_WITHIN_S, _AGAIN)
        except Exception as error:
            problem = f"it ran, and that could not be noted, so it will run again: {in_words(error)}"
            raise StepError(step=step.key, problem=problem, for_good=False) from error

    def met(self, found: Found) -> None:
        """Read again what is remembered: another run of the job is at it, or was, and may have gone further."""
        self._to_read = self._to_read or found.token != self._token

    def forget(self, step: Step) -> None:
        """Let a step that failed be tried again in the same attempt."""
        self._calls.pop(step.key, None)
        if step.position == self._count:
            self._count -= 1

    def _row(self, step: Step, result: str | None) -> Row:
        statements = query("insert_step"), query("step"), query("keep_step")
        key = *self._job, text_of(step.key)
        return Row(*statements, self._lease.id, key, self._token, (step.position, result))


class Step:
    """One call of ``ctx.step``. In its ``with`` the function runs: what it raises lets the step be tried again."""

    def __init__(self, steps: Steps, key: str, position: int) -> None:
        self.key = key
        self.position = position
        self.done = False
        self.result: Any = None
        """What JSON makes of what the function returned: the same in each attempt."""
        self._steps = steps
        self._once: Once | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self._steps.forget(self)

    async def keep(self, value: Any) -> None:
        """Remember that the function has run, and returned ``value``. Raises StepError."""
        result = self._json(value, "it ran, and would run again, since what it returned cannot be kept: ")
        self._take(await _to_its_end(self._steps.note(self, result)), result)

    async def open(self) -> Any:
        """Return a connection in a transaction that commits with the step; None: another run was first."""
        self._once = self._steps.once(self)
        found = await self._once.begin()
        if found is not None:
            self._take(found, "null")
            return None
        await self._unless_over(self._once)
        return self._once.connection

    def holding(self) -> AbstractContextManager[None]:
        return self._steps.holding()

    async def undo(self) -> None:
        if self._once is not None:
            await self._once.undo()

    async def commit(self, value: Any) -> None:
        """Commit what the function did there. Raises StepError, TransactionError, InDoubtError."""
        assert self._once is not None  # noqa: S101 - it is open
        await self._unless_over(self._once)
        try:
            result = self._json(value, "nothing of it is committed: what it returned cannot be kept: ")
        except StepError:
            await self._once.undo()
            raise
        self._take(await _to_its_end(self._once.commit(result)), result)

    async def _unless_over(self, once: Once) -> None:
        try:
            self._steps.check_running(self.key)
        except BaseException:
            await once.undo()
            raise

    def _json(self, value: Any, problem: str) -> str:
        try:
            return json_of(value)
        except ValueError as error:
            raise StepError(step=self.key, problem=f"{problem}{error}") from None

    def _take(self, found: Found | None, own: str) -> None:
        if found is not None:
            self._steps.met(found)
        self.done, self.result = True, value_of(own if found is None else found.result)


def _check(key: Any, function: Any) -> None:
    if inspect.iscoroutine(key):
        key.close()
    if callable(key) or inspect.iscoroutine(key):
        name = getattr(key, "__name__", type(key).__name__)
        raise StepError(step=name, problem=_NO_KEY.format(name))
    if not isinstance(key, str) or not 1 <= len(key) <= _LONGEST_KEY or text_of(key) != key:
        shown = key if isinstance(key, str | int | None) else type(key).__name__
        raise StepError(step=shown, problem=f"a key is a text of 1 to {_LONGEST_KEY} characters")
    if key.startswith(_SLEEP):
        raise StepError(step=key, problem=f"keys that begin with {_SLEEP!r} are those of ctx.sleep()")
    if not callable(function):
        if inspect.iscoroutine(function):
            function.close()
        raise StepError(step=key, problem=_FUNCTION)


async def _to_its_end(call: Coroutine[Any, Any, Any]) -> Any:
    """Await the call; cancelled, it goes on without us."""
    task = asyncio.create_task(call)
    _noting.add(task)
    task.add_done_callback(_noting.discard)
    return await asyncio.shield(task)
