-- lock_schema: be the only one who changes the schema, until the transaction ends.
--
-- No parameters.
SELECT pg_advisory_xact_lock(hashtextextended('jobsd.schema', 0))
