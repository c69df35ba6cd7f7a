"""The ledger of executions in Postgres.

    pool.py        connections that need no server to begin with; read this first
    migrate.py     the schema, brought up to date or checked
    partitions.py  a month to a partition, made ahead of time
    writing.py     a batch of records into the ledger, the bad ones aside
    inserting.py   the statement that makes rows of them
    cleaning.py    what Postgres refuses in text and JSON, put into a form it takes
    history.py     what happened, read back
    queries.py     sql/*.sql, one statement each

Only this room and ``embedded`` know asyncpg.
"""
