-- delete_executions: delete the oldest executions of an outcome in a month that has a partition.
--
-- $1  outcome  text
-- $2  since    timestamptz
-- $3  before   timestamptz  at most the end of the same month, so that one partition is looked at
-- $4  most     integer
-- Returns how many they were, and when the last of them started.
-- A ctid names a row of one partition. The condition stands twice, so that it could never hit a row of another.
WITH deleted AS (
    DELETE FROM jobsd.executions
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM jobsd.executions
        WHERE outcome = $1::text AND started_at >= $2::timestamptz AND started_at < $3::timestamptz
        ORDER BY started_at LIMIT $4::integer))
      AND outcome = $1::text AND started_at >= $2::timestamptz AND started_at < $3::timestamptz
    RETURNING started_at
)
SELECT count(*) AS executions, max(started_at) AS last_at FROM deleted
