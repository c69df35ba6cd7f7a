"""jobsd.Worker: arq's Worker class on jobsd's engine.

It takes arq's constructor arguments, functions, hooks and ``ctx`` and keeps arq's rules; docs/arq.md says in
what it differs. Its parts are in arq/.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from signal import SIGUSR1, Signals
from typing import TYPE_CHECKING, Any

import arq.worker
from arq.connections import RedisSettings, create_pool, log_redis_info

from jobsd.engine.arq.addresses import settings_of, url_of
from jobsd.engine.arq.codec import ArqCodec
from jobsd.engine.arq.engine import ArqEngine
from jobsd.engine.arq.functions import NO_LIMIT_S  # pyright: ignore[reportUnusedImport] - in what it does not see
from jobsd.engine.arq.lines import logger
from jobsd.events import Event
from jobsd.logger import log
from jobsd.redaction import DEFAULT_FIELDS
from jobsd.store.connection import AWAY

if TYPE_CHECKING:
    from collections.abc import Sequence


class Worker(arq.worker.Worker):
    """arq's Worker, with its constructor arguments; see arq's documentation for what they mean."""

    engine: ArqEngine | None = None
    records = False
    """Whether executions are streamed for the ledger; ``jobsd run`` sets it, and carries them."""
    backlog = "25%"
    """How much of Redis' memory those may take that wait for it before fewer jobs are claimed."""
    redact: Sequence[str] = DEFAULT_FIELDS
    """Fields that no record shows."""
    ready: asyncio.Event | None = None
    """Set when it has signed on and takes jobs, for ``jobsd run``."""

    if not TYPE_CHECKING:  # a type checker is to see arq's

        @functools.wraps(arq.worker.Worker.__init__)
        def __init__(self, functions: Any = (), *, job_timeout: Any = 300, ctx: Any = None, **options: Any) -> None:
            limit = NO_LIMIT_S if job_timeout is None else job_timeout
            super().__init__(functions, job_timeout=limit, ctx=ctx, **options)
            if ctx is not None:  # arq replaces an empty one, and with it what the caller keeps
                self.ctx = ctx

    _stop_asked = False
    _ended: asyncio.Event | None = None  # of the main() that runs

    async def main(self) -> None:
        """Run until stopped, or with ``burst`` until the queue is empty."""
        self.engine = None
        ended = self._ended = asyncio.Event()
        try:
            await self._serve()
        finally:
            self._ended = None
            ended.set()

    async def _serve(self) -> None:
        codec = ArqCodec(self.job_serializer, self.job_deserializer)
        if self._pool is None:
            self._pool = await create_pool(
                self.redis_settings,
                job_deserializer=codec.loads,
                job_serializer=self.job_serializer,
                default_queue_name=self.queue_name,
                expires_extra_ms=self.expires_extra_ms,
            )
        logger.info("Starting worker for %d functions: %s", len(self.functions), ", ".join(self.functions))
        await log_redis_info(self.pool, logger.info)
        if self.job_deserializer is None:
            log.warning(Event.PICKLE_ACCEPTED, queue=self.queue_name)
        self.ctx["redis"] = self._pool
        if self.on_startup:
            await self.on_startup(self.ctx)
        url = url_of(self.settings_of_redis)
        if self._stop_asked:
            return
        running = self.engine = ArqEngine(
            url, self, codec, records=self.records, backlog=self.backlog, redact=self.redact
        )
        if self.ready is not None:
            running.ready = self.ready
        await running.run(burst=self.burst)

    @property
    def settings_of_redis(self) -> RedisSettings:
        return self.redis_settings or settings_of(self._pool)

    # --- start and stop -----------------------------------------------------------------------------

    def stop(self) -> None:
        """Take no more jobs; end when those that run have ended, or after ``job_completion_wait``."""
        self.allow_pick_jobs = False
        self._stop_asked = True
        if self.engine is not None:
            self.engine.stop()
        elif self.main_task is not None:
            self.main_task.cancel()  # it is starting

    def hold(self) -> None:
        """Take no more jobs for now; what runs goes on."""
        if self.engine is not None:
            self.engine.hold()

    def resume(self) -> None:
        if self.engine is not None:
            self.engine.resume()

    def handle_sig(self, signum: Signals) -> None:
        """Drain; a second signal ends at once."""
        logger.info(
            "shutdown on %s ◆ %d jobs complete ◆ %d failed ◆ %d retries ◆ %d ongoing to cancel",
            Signals(signum).name,
            self.jobs_complete,
            self.jobs_failed,
            self.jobs_retried,
            self._ongoing,
        )
        self.stop()
        if self.on_stop:
            self.on_stop(signum)

    handle_sig_wait_for_completion = handle_sig

    async def close(self) -> None:
        """Stop what runs, call ``on_shutdown`` and close the connections."""
        if self._ended is not None:
            ended = self._ended
            self.handle_sig(SIGUSR1)
            await ended.wait()
        self._stop_asked = False
        self.allow_pick_jobs = True
        if self._pool is None:
            return
        with contextlib.suppress(*AWAY):  # it ends by itself; what on_shutdown closes does not
            await self._pool.delete(self.health_check_key)
        if self.on_shutdown:
            await self.on_shutdown(self.ctx)
        await self._pool.aclose(close_connection_pool=True)
        self._pool = None

    @property
    def _ongoing(self) -> int:
        return len(self.engine.attempts) if self.engine is not None else 0

    def __repr__(self) -> str:
        return (
            f"<Worker j_complete={self.jobs_complete} j_failed={self.jobs_failed} j_retried={self.jobs_retried} "
            f"j_ongoing={self._ongoing}>"
        )
