-- ensure_partition: give a month its partition.
--
-- $1  at  timestamptz  an instant of that month
-- Returns 'made', 'present' or 'blocked' (its rows lie in the default partition already).
SELECT jobsd.ensure_partition($1::timestamptz)
