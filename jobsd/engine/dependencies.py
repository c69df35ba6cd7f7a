"""The dependencies of one worker process: opened in the order of their definition, closed in reverse.

Each lives in a task of its own from opening to closing, since a cancel scope must be left in the task that entered it.
One that does not open stops nobody: jobs that use it fail meanwhile, and it is tried again until it opens.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar, cast

from jobsd import hooks
from jobsd.errors import DependencyError, HookError
from jobsd.events import Event
from jobsd.logger import log
from jobsd.service import Service, backoff_s

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from jobsd.hooks import Dependency, Opened

T = TypeVar("T")

_LIMIT_S = 10.0
_ENDED_WITHIN_S = 1.0  # once it was cancelled
_NOTHING: Any = object()


class Dependencies:
    """All that are defined by now, or those that are named. ``limit_s`` is the longest that opening or closing one
    may take.
    """

    def __init__(self, named: Iterable[Dependency[Any]] | None = None, *, limit_s: float = _LIMIT_S) -> None:
        found = hooks.dependencies.values() if named is None else named
        self._lives = {one: _Life(one, self, limit_s) for one in found if one not in hooks.overrides}
        self._reopener = _Reopener(list(self._lives.values()))
        self._reopening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open each in its turn. One that fails is said in the log, and tried again from now on."""
        for life in self._lives.values():
            await life.open()
        if not self._reopener.done:
            self._reopening = asyncio.create_task(self._reopener.run())

    async def close(self) -> None:
        """Close each, the last first. What goes wrong is said in the log."""
        self._reopener.stop()
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.gather(self._reopening, return_exceptions=True)
        for life in reversed(self._lives.values()):
            await life.close()

    def use(self, dependency: Dependency[T]) -> T:
        """Return its value. Raises DependencyError if it is not open, with the cause."""
        if dependency in hooks.overrides:
            return hooks.overrides[dependency]
        life = self._lives.get(dependency)
        if life is None:
            cause = "it was defined when this worker process had started already"
            raise DependencyError(dependency=dependency.name, cause=cause)
        return life.value()


class _Life:
    """One dependency, from the first try to open it to its end."""

    def __init__(self, dependency: Dependency[Any], opened: Opened, limit_s: float) -> None:
        self.failures = 0
        self._dependency = dependency
        self._opened = opened
        self._limit_s = limit_s
        self._value: Any = None
        self._not_open: str | None = "it has not been opened yet"
        self._has_opened = asyncio.Event()
        self._is_to_close = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._not_open is None

    def value(self) -> Any:
        if self._not_open is not None:
            raise DependencyError(dependency=self._dependency.name, cause=self._not_open)
        return self._value

    async def open(self) -> None:
        """Try to, unless the last try resists its end still."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._live(), name=f"dependency {self._dependency.name}")
        opened = asyncio.create_task(self._has_opened.wait())
        try:
            await asyncio.wait({self._task, opened}, timeout=self._limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            opened.cancel()
            in_time = self._task.done() or self.is_open
            if not in_time:
                await self._cancelled(self._task)
        if self.is_open:
            if self.failures:
                log.info(Event.DEPENDENCY_OPENED, dependency=self._dependency.name, failures=self.failures)
        else:
            self._failed(self._error(self._task) if in_time else f"it did not open within {self._limit_s:g} s")

    async def close(self) -> None:
        """Let the generator run on to its end."""
        if self._task is None:
            return
        self._is_to_close.set()
        await asyncio.wait({self._task}, timeout=self._limit_s)
        cause: BaseException | str | None = f"it did not close within {self._limit_s:g} s"
        if self._task.done():
            cause = self._error(self._task) if self._has_opened.is_set() else None  # the failure to open was told
        else:
            await self._cancelled(self._task)
        if cause is not None:
            log.warning(Event.DEPENDENCY_UNCLOSED, dependency=self._dependency.name, cause=_said(cause))

    async def _live(self) -> None:
        dependency = self._dependency
        made = dependency.function(self._opened) if dependency.takes_opened else dependency.function()
        async with contextlib.aclosing(cast("AsyncGenerator[Any, None]", made)) as generator:
            self._value = await anext(generator, _NOTHING)
            if self._value is _NOTHING:
                raise HookError(hook=dependency.name, problem="it ended without a yield")
            self._not_open = None
            self._has_opened.set()
            try:
                await self._is_to_close.wait()
            finally:
                self._not_open = "it is closed, with its worker"
            if await anext(generator, _NOTHING) is not _NOTHING:
                raise HookError(hook=dependency.name, problem="it yielded twice")

    def _failed(self, cause: BaseException | str | None) -> None:
        self._not_open = _said(cause)
        self.failures += 1
        if self.failures == 1:
            log.error(
                Event.DEPENDENCY_FAILED,
                dependency=self._dependency.name,
                cause=self._not_open,
                consequence="jobs that use it fail, and are retried; trying until it opens",
                exc_info=cause if isinstance(cause, Exception) and not isinstance(cause, OSError) else None,
            )

    def _error(self, task: asyncio.Task[None]) -> BaseException | None:
        return asyncio.CancelledError() if task.cancelled() else task.exception()

    async def _cancelled(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait({task}, timeout=_ENDED_WITHIN_S)


class _Reopener(Service):
    """Tries those that are not open, in their order, until all are."""

    def __init__(self, lives: list[_Life]) -> None:
        super().__init__()
        self._lives = lives

    @property
    def done(self) -> bool:
        return all(life.is_open for life in self._lives)

    async def tick(self) -> float | None:
        for life in self._lives:
            if not life.is_open:
                await life.open()
        if self.done:
            self.stop()
            return None
        return backoff_s(max(life.failures for life in self._lives))


def _said(cause: BaseException | str | None) -> str:
    return f"{type(cause).__name__}: {cause}" if isinstance(cause, BaseException) else str(cause)
