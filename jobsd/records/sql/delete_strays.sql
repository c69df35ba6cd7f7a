-- delete_strays: delete the oldest executions of an outcome in the default partition.
--
-- $1  outcome  text
-- $2  since    timestamptz
-- $3  before   timestamptz
-- $4  most     integer
-- Returns how many they were, and when the last of them started.
WITH deleted AS (
    DELETE FROM jobsd.executions_default
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM jobsd.executions_default
        WHERE outcome = $1::text AND started_at >= $2::timestamptz AND started_at < $3::timestamptz
        ORDER BY started_at LIMIT $4::integer))
    RETURNING started_at
)
SELECT count(*) AS executions, max(started_at) AS last_at FROM deleted
