"""The line that ``arq --check`` looks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import now_ms, utc_from_ms
from jobsd.engine.arq.lines import logger
from jobsd.service import Service
from jobsd.store.connection import AWAY

if TYPE_CHECKING:
    from collections.abc import Sized

    from arq.worker import Worker

    from jobsd.store.neighbours import Neighbours

_LEAST_S = 0.05


class Health(Service):
    """Writes the line every ``health_check_interval``; the key lives a second longer."""

    expected = AWAY

    def __init__(self, worker: Worker, neighbours: Neighbours, running: Sized) -> None:
        super().__init__()
        self._worker = worker
        self._neighbours = neighbours
        self._running = running

    async def tick(self) -> float | None:
        worker = self._worker
        figures = (
            f"j_complete={worker.jobs_complete} j_failed={worker.jobs_failed} j_retried={worker.jobs_retried} "
            f"j_ongoing={len(self._running)} queued={await self._neighbours.queued()}"
        )
        line = f"{utc_from_ms(now_ms()).astimezone():%b-%d %H:%M:%S} {figures}"
        interval_s = worker.health_check_interval
        await self._neighbours.say(worker.health_check_key, line, round((interval_s + 1) * 1000))
        said = worker._last_health_check_log  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - it outlives a burst
        if said and said != figures:
            logger.info("recording health: %s", line)
        worker._last_health_check_log = figures  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        return max(interval_s, worker.poll_delay_s, _LEAST_S)
