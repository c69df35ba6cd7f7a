-- ensure_partition: give a month its partition, and what the default one has of it.
--
-- $1  at  timestamptz  an instant of that month
-- Returns 'made', 'present' or 'blocked' (too many of its rows lie in the default partition).
SELECT jobsd.ensure_partition($1::timestamptz)
