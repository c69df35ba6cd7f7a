-- forget_errors: delete failures that were last seen before an instant.
--
-- $1  before  timestamptz
-- $2  most    integer      groups at the most
-- Returns how many were deleted.
WITH deleted AS (
    DELETE FROM jobsd.errors
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM jobsd.errors WHERE last_seen_at < $1::timestamptz LIMIT $2::integer))
    RETURNING 1
)
SELECT count(*) FROM deleted
