"""The one background loop: every service ticks, survives every error, and stops when told."""

from __future__ import annotations

import asyncio
import contextlib
import random
from abc import ABC, abstractmethod

from jobsd.events import Event
from jobsd.logger import log

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


def backoff_s(failures: int) -> float:
    """Return the pause in seconds after the ``failures``-th error in a row: 0.1 doubling to 5, full jitter."""
    return random.uniform(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failures - 1, 10)))


class Service(ABC):
    """A loop that calls ``tick`` until stopped.

    ``tick`` returns the seconds to wait before the next one (None: none). An error never ends the loop:
    the first in a row is logged, the pause grows with jitter, and the success that follows is logged too.
    """

    expected: tuple[type[Exception], ...] = (OSError,)
    """Errors of the world outside, which are said without a trace."""

    def __init__(self) -> None:
        self.failures = 0
        self.recovered = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    @abstractmethod
    async def tick(self) -> float | None: ...

    async def run(self) -> None:
        while not self.stopping:
            try:
                pause = await self.tick()
            except Exception as error:  # noqa: BLE001 - a service outlives any error of one tick
                pause = self._failed(error)
            else:
                if not self.stopping:
                    self._succeeded()
            if pause:
                await self.sleep(pause)

    def stop(self) -> None:
        self._stopping.set()

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond ``stop``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _failed(self, error: Exception) -> float:
        self.failures += 1
        if self.failures == 1:
            trace = None if isinstance(error, self.expected) else error
            log.warning(Event.SERVICE_FAILED, service=self.name, cause=str(error) or repr(error), exc_info=trace)
        return backoff_s(self.failures)

    def _succeeded(self) -> None:
        if self.failures:
            log.info(Event.SERVICE_RECOVERED, service=self.name, failures=self.failures)
            self.failures = 0
            self.recovered.set()
