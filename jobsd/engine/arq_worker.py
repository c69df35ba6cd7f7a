"""jobsd.Worker: arq's Worker class on jobsd's engine. The only door for arq.

It takes arq's constructor arguments, functions, hooks and ``ctx``, and translates them; it has no rule of
its own. Functions registered here keep arq's rule for exceptions: only ``Retry`` runs again. (A timeout follows
jobsd's rule, and is retried.) What is not built yet is named in a warning at the start.
"""

from __future__ import annotations

import asyncio
import pickle
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import arq.worker
from arq.connections import RedisSettings, create_pool
from arq.jobs import SerializationError, serialize_result

from jobsd.definition import Task
from jobsd.engine.options import QueueOptions, WorkerOptions
from jobsd.engine.worker import Worker as EngineWorker
from jobsd.events import Event
from jobsd.logger import log
from jobsd.outcome import Retry, SkipRetry, Steer
from jobsd.store.codec import PAYLOAD_START, JsonCodec, Payload, UndecodableError, payload_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from signal import Signals

    from jobsd.store.jobs import Lease


class Worker(arq.worker.Worker):
    """arq's Worker, with its constructor arguments; see arq's documentation for what they mean."""

    engine: EngineWorker | None = None

    async def main(self) -> None:
        """Run until stopped, or with ``burst`` until the queue is empty."""
        settings = self.redis_settings or RedisSettings()
        if self._pool is None:
            self._pool = await create_pool(
                settings,
                job_deserializer=self.job_deserializer,
                job_serializer=self.job_serializer,
                default_queue_name=self.queue_name,
                expires_extra_ms=self.expires_extra_ms,
            )
        else:
            settings = _settings_of(self._pool)
        self.ctx["redis"] = self._pool
        if self.job_deserializer is None:
            log.warning(Event.PICKLE_ACCEPTED, queue=self.queue_name)
        if passed_over := self._passed_over():
            log.warning(Event.ARQ_OPTIONS_IGNORED, options=passed_over, consequence="these do nothing yet")
        if self.on_startup:
            await self.on_startup(self.ctx)
        running = self.engine = EngineWorker(
            _url_of(settings),
            {name: self._task(found) for name, found in self.functions.items()},
            {self.queue_name: QueueOptions()},
            WorkerOptions(
                concurrency=self.max_jobs,
                timeout=timedelta(seconds=self.job_timeout_s or 300),
                retries=max(0, self.max_tries - 1),
                keep_completed=timedelta(seconds=self.keep_result_s),
                grace=timedelta(seconds=self._job_completion_wait),
            ),
            shared=self.ctx,
            codec=_ArqCodec(self.job_serializer, self.job_deserializer),
        )
        await running.run(burst=self.burst)
        self.jobs_complete = running.ended["C"]
        self.jobs_retried = running.ended["R"] + running.ended["S"] + running.ended["Q"]
        self.jobs_failed = running.ended["A"]

    def handle_sig(self, signum: Signals) -> None:
        """Drain; a second signal ends at once."""
        if self.engine is not None:
            self.engine.stop()
        if self.on_stop:
            self.on_stop(signum)

    handle_sig_wait_for_completion = handle_sig

    async def close(self) -> None:
        if self.engine is not None and self.main_task is not None and not self.main_task.done():
            self.engine.stop()
            await asyncio.wait([self.main_task])
        if self._pool is not None:
            if self.on_shutdown:
                await self.on_shutdown(self.ctx)
            await self._pool.close(close_connection_pool=True)
            self._pool = None

    def _passed_over(self) -> list[str]:
        """Name what was asked for and is not built yet: it must not be missed in silence."""
        asked = {
            "cron_jobs": bool(self.cron_jobs),
            "allow_abort_jobs": self.allow_abort_jobs,
            "after_job_end": self.after_job_end is not None,
            "keep_result_forever": self.keep_result_forever,
            "max_burst_jobs": self.max_burst_jobs >= 0,
        }
        return [option for option, given in asked.items() if given]

    def _task(self, found: Any) -> Task[..., Any]:
        async def run(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            try:
                if self.on_job_start:
                    await self.on_job_start(ctx)
                try:
                    return await found.coroutine(ctx, *args, **kwargs)
                finally:
                    if self.on_job_end:
                        await self.on_job_end(ctx)
            except arq.worker.Retry as error:
                delay_ms = error.defer_score
                raise Retry(None if delay_ms is None else timedelta(milliseconds=delay_ms)) from error
            except Steer:
                raise
            except Exception as error:
                raise SkipRetry(f"{type(error).__name__}: {error}") from error

        retries = None if found.max_tries is None else max(0, found.max_tries - 1)
        timeout_ms = None if found.timeout_s is None else int(found.timeout_s * 1000)
        return _ArqTask(run, found.name, timeout_ms=timeout_ms, retries=retries)


class _ArqTask(Task[..., Any]):
    """arq passes arguments on unchecked."""

    __slots__ = ()

    @property
    def arguments(self) -> Any:
        return self

    @staticmethod
    def validate(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, kwargs


class _ArqCodec(JsonCodec):
    """Reads jobs in JSON as ours, all others with arq's deserializer; answers each in the codec it came in."""

    def __init__(
        self,
        serializer: Callable[[dict[str, Any]], bytes] | None,
        deserializer: Callable[[bytes], dict[str, Any]] | None,
    ) -> None:
        self._serializer = serializer
        self._loads = deserializer or pickle.loads

    def decode(self, payload: bytes | None) -> Payload:
        if payload is None or payload.startswith(PAYLOAD_START):
            return super().decode(payload)
        try:
            return payload_of(self._loads(payload))
        except Exception as error:
            msg = f"the payload cannot be read: {error!r}"
            raise UndecodableError(msg) from error

    def result(self, lease: Lease, payload: Payload, *, success: bool, value: Any, finished_at: int) -> bytes:
        if (lease.payload or b"").startswith(PAYLOAD_START):
            return super().result(lease, payload, success=success, value=value, finished_at=finished_at)
        try:
            stored = serialize_result(
                payload.task,
                payload.args,
                payload.kwargs,
                lease.attempt,
                payload.enqueued_at,
                success,
                value if success else RuntimeError(value["message"]),
                lease.started_at,
                finished_at,
                lease.id,
                lease.queue,
                lease.id,
                serializer=self._serializer,
            )
        except SerializationError as error:
            raise ValueError(str(error)) from error
        return stored or b""


def _url_of(settings: RedisSettings) -> str:
    secret = ""
    if settings.password is not None:
        secret = f"{quote(settings.username or '', safe='')}:{quote(settings.password, safe='')}@"
    if settings.unix_socket_path is not None:
        return f"unix://{secret}{quote(settings.unix_socket_path)}?db={settings.database}"
    return f"redis{'s' if settings.ssl else ''}://{secret}{settings.host}:{settings.port}/{settings.database}"


def _settings_of(pool: Any) -> RedisSettings:
    known = pool.connection_pool.connection_kwargs
    return RedisSettings(
        host=known.get("host", "localhost"),
        port=known.get("port", 6379),
        unix_socket_path=known.get("path"),
        database=known.get("db", 0),
        username=known.get("username"),
        password=known.get("password"),
    )
