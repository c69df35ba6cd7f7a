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

Only this room and ``embedded`` know asyncpg.
"""

from __future__ import annotations

from jobsd.records.history import History, open_history
from jobsd.records.rows import ErrorGroup, Page, PastExecution, Place, Statistics

__all__ = ["ErrorGroup", "History", "Page", "PastExecution", "Place", "Statistics", "open_history"]
