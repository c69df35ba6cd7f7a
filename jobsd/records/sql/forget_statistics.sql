-- forget_statistics: delete hours and days before an instant.
--
-- $1  before  timestamptz
-- $2  most    integer      of a task and a queue each, at the most
-- Returns how many were deleted.
WITH deleted AS (
    DELETE FROM jobsd.statistics
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM jobsd.statistics
        WHERE span IN ('hour', 'day') AND at < $1::timestamptz LIMIT $2::integer))
    RETURNING 1
)
SELECT count(*) FROM deleted
