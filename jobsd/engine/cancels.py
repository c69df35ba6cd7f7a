"""Stops the running jobs of this worker that somebody wants cancelled, and says how far that has come.

A token tells the worker that there are some; which, and the mark of the run that is meant, it then reads. It looks
again every second while one has not ended, or is not here yet: the answer of its claim may be on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.service import Service
from jobsd.store.cancels import Cancels
from jobsd.store.connection import AWAY, connect
from jobsd.store.keys import cancel_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobsd.engine.attempt import Attempt

_BLOCK_S = 5
_LOOK_AGAIN_S = 1
_NETWORK_S = 5


class Canceller(Service):
    """Listens with a connection of its own; ``attempts`` are the worker's by mark, ``cancel`` stops one of them."""

    expected = AWAY

    def __init__(
        self, url: str, shard: str, worker: str, attempts: Mapping[str, Attempt], cancel: Callable[[Attempt], None]
    ) -> None:
        super().__init__()
        self._redis: Any = connect(url, call_timeout_s=_BLOCK_S + _NETWORK_S, connections=2)
        self._cancels = Cancels(self._redis, shard)
        self._tokens = cancel_key(worker, shard)
        self._own = f"{worker}:"
        self._attempts = attempts
        self._cancel = cancel
        self._open = False
        """Something is asked of this worker, and has not ended."""
        self._missed = True
        """A token may have gone by: before the first look, or in an answer that did not come."""

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            await self._redis.aclose()

    async def tick(self) -> float | None:
        if not self._missed:
            self._missed = True
            # From the right, so that CLIENT LIST tells it from an idle worker's wait for jobs.
            token = await self._redis.brpop([self._tokens], timeout=_LOOK_AGAIN_S if self._open else _BLOCK_S)
            if token is None and not self._open:
                self._missed = False
                return None
        self._open = await self._look()
        self._missed = False
        return None

    async def _look(self) -> bool:
        """Do what is asked; True if there is to be another look."""
        ours = [
            (job_id, state, mark)
            for job_id, (state, mark) in (await self._cancels.asked()).items()
            if mark.startswith(self._own)
        ]
        for job_id, state, mark in ours:
            attempt = self._attempts.get(mark)
            if attempt is None:
                continue
            if state == "requested":
                if attempt.stop is None:
                    self._cancel(attempt)
                await self._cancels.tell(job_id, mark, "delivered")
            elif state == "delivered" and attempt.resisting:
                await self._cancels.tell(job_id, mark, "resisting")
        return bool(ours)
