"""The one logger: facts as keywords, delivered through the standard library's logging.

A program that embeds jobsd keeps its own handlers; the daemon renders the lines (daemon/logs.py). What is written
while a job runs says which job, whoever writes it.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from jobsd import headers

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger


class Running(Protocol):
    """A job that runs, as its context knows it."""

    @property
    def job_id(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def attempt(self) -> int: ...


running_job: ContextVar[Running | None] = ContextVar("jobsd_running_job", default=None)
"""The job that this context is of. A runner sets it, once for each job, in the job's own context."""

_RESERVED = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})


def job_facts() -> dict[str, Any]:
    """Return what every line says of the job that runs here: nothing, if none does."""
    job = running_job.get()
    if job is None:
        return {}
    return {
        "task": job.task,
        "job_id": job.job_id,
        "attempt": job.attempt,
        "queue": job.queue,
        **headers.facts(),
    }


def add_job_facts(_logger: WrappedLogger, _method: str, facts: EventDict) -> EventDict:
    """Add the job's facts to a line; its own go before. A structlog processor, for other programs' configurations."""
    return facts if running_job.get() is None else job_facts() | dict(facts)


def _out_of_the_way(_logger: WrappedLogger, _method: str, facts: EventDict) -> EventDict:
    """Rename facts that the standard library's records have fields for: it would refuse the whole line."""
    taken = _RESERVED.intersection(facts) - {"exc_info", "stack_info", "stackLevel"}
    return {f"{name}_" if name in taken else name: fact for name, fact in facts.items()} if taken else facts


log: structlog.stdlib.BoundLogger = structlog.wrap_logger(
    logging.getLogger("jobsd"),
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.contextvars.merge_contextvars,
        add_job_facts,
        _out_of_the_way,
        structlog.stdlib.render_to_log_kwargs,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
