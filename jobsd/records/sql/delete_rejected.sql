-- delete_rejected: of the oldest that the ledger refused, delete those from before an instant.
--
-- $1  before  timestamptz
-- $2  most    integer
-- Returns how many they were.
-- Ids rise with time, so the key serves for an index: what is not among the oldest ids is not old.
WITH deleted AS (
    DELETE FROM jobsd.records_rejected
    WHERE id IN (SELECT id FROM (SELECT id, created_at FROM jobsd.records_rejected ORDER BY id LIMIT $2::integer) AS oldest
                 WHERE created_at < $1::timestamptz)
    RETURNING 1
)
SELECT count(*) FROM deleted
