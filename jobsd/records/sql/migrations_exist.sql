-- migrations_exist: whether the ledger keeps a list of its migrations yet.
--
-- No parameters.
-- Asked of the catalog itself: to_regclass answers from a cache that may be older than the lock we waited for.
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'jobsd' AND c.relname = 'migrations')
