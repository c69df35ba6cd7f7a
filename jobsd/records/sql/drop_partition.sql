-- drop_partition: drop the oldest month, if it ended before an instant.
--
-- $1  before  timestamptz
-- Returns the first instant of that month; null: there is none.
SELECT jobsd.drop_partition($1::timestamptz)
