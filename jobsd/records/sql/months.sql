-- months: those that have a partition, oldest first.
--
-- No parameters.
SELECT starts_at, ends_at FROM jobsd.partitions ORDER BY starts_at
