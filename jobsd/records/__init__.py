"""The ledger of executions in Postgres. What happened is read with ``open_history``; the rest is the daemon's.

    history.py     what happened, read back; read this first
    rows.py        what its answers are
    pool.py        connections that need no server to begin with
    migrate.py     the schema, brought up to date or checked
    partitions.py  a month to a partition, made ahead of time and dropped after it
    retention.py   how long executions stay, and what is over deleted
    writing.py     a batch of records into the ledger, the bad ones aside
    inserting.py   the statement that makes rows of them
    cleaning.py    what Postgres refuses in text and JSON, put into a form it takes
    folding.py     what batches add to statistics, summed up
    views.py       what readers who need not know jobsd see of it
    queries.py     sql/*.sql, one statement each
    outbox.py      jobs that were enqueued in somebody's transaction
    callers.py     that transaction's connection, of whichever library
    effects.py     the transaction that ends a job
    steps.py       what a job need not repeat; its functions are called in stepping.py
    last_outcomes.py  how the last runs of schedules have ended
    once.py        a commit by a key, of which there is one, also where nobody answers it

Only this room and ``embedded`` know asyncpg; it is imported with the first name that needs it, since the client's part
(callers.py) goes without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobsd.records.history import History, open_history
    from jobsd.records.rows import ErrorGroup, Page, PastExecution, Place, Statistics

__all__ = ["ErrorGroup", "History", "Page", "PastExecution", "Place", "Statistics", "open_history"]

_HOMES = {name: "history" if name in {"History", "open_history"} else "rows" for name in __all__}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
