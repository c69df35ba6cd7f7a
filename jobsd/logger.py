"""The one logger: facts as keywords, delivered through the standard library's logging.

A program that embeds jobsd keeps its own handlers; the daemon renders the lines (daemon/logs.py).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

_RESERVED = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})


def _out_of_the_way(_logger: WrappedLogger, _method: str, facts: EventDict) -> EventDict:
    """Rename facts that the standard library's records have fields for: it would refuse the whole line."""
    taken = _RESERVED.intersection(facts) - {"exc_info", "stack_info", "stackLevel"}
    return {f"{name}_" if name in taken else name: fact for name, fact in facts.items()} if taken else facts


log: structlog.stdlib.BoundLogger = structlog.wrap_logger(
    logging.getLogger("jobsd"),
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.contextvars.merge_contextvars,
        _out_of_the_way,
        structlog.stdlib.render_to_log_kwargs,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
