"""arq's functions and cron jobs as tasks: what the engine's runner looks a job's name up in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobsd.definition import Task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arq.cron import CronJob
    from arq.worker import Function, Worker

    from jobsd.context import Context
    from jobsd.engine.arq.calls import Calls

NO_LIMIT_S = 365 * 86_400.0
"""Stands for arq's ``job_timeout=None``: the engine has no run without a limit."""

_UNBOUNDED = 1_000_000_000  # arq counts tries when one begins, not when one ends: see Calls


class ArqTask(Task[..., Any]):
    """A function of arq's; its arguments are passed on unchecked, as arq does."""

    __slots__ = ("keep_ms",)

    checked = False

    def __init__(self, function: Any, name: str, *, timeout_ms: int | None, keep_ms: int | None) -> None:
        # Whatever it raises is final, a timeout too; only what Calls turns into a Retry runs again.
        super().__init__(function, name, timeout_ms=timeout_ms, retries=_UNBOUNDED, no_retry_on=(BaseException,))
        self.keep_ms = keep_ms
        """How long its result is kept; None is for ever."""

    @property
    def arguments(self) -> Any:
        return self

    @staticmethod
    def validate(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, kwargs


class Functions(Mapping[str, Task[..., Any]]):
    """Every name leads to a task: in arq, a function that nobody registered fails its job."""

    def __init__(self, worker: Worker, calls: Calls) -> None:
        self._worker = worker
        self._calls = calls
        self._tasks = {name: self._task(found) for name, found in worker.functions.items()}

    def __getitem__(self, name: str) -> Task[..., Any]:
        return self._tasks.get(name) or self._unknown(name)

    def __contains__(self, name: object) -> bool:
        """Tell whether a function of that name was registered."""
        return name in self._tasks

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def _task(self, found: Function | CronJob) -> ArqTask:
        async def run(ctx: Context, *args: Any, **kwargs: Any) -> Any:
            return await self._calls.call(found, ctx, args, kwargs)

        run.__wrapped__ = found.coroutine  # pyright: ignore[reportFunctionMemberAccess] - its signature is asked for

        timeout_s = found.timeout_s or self._worker.job_timeout_s or None
        return ArqTask(
            run,
            found.name,
            timeout_ms=None if timeout_s is None else max(1, round(timeout_s * 1000)),
            keep_ms=self._keep_ms(found.keep_result_s, found.keep_result_forever),
        )

    def _unknown(self, name: str) -> ArqTask:
        async def run(ctx: Context, *_: Any, **__: Any) -> Any:
            self._calls.refuse_unknown(name, ctx)

        return ArqTask(run, name, timeout_ms=None, keep_ms=self._keep_ms(None, None))

    def _keep_ms(self, keep_s: float | None, forever: bool | None) -> int | None:
        if self._worker.keep_result_forever if forever is None else forever:
            return None
        return round((self._worker.keep_result_s if keep_s is None else keep_s) * 1000)
