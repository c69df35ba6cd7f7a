-- delete_schedule_runs: delete what is known of due times before an instant.
--
-- $1  before  timestamptz
-- $2  most    integer
-- Returns how many they were. None of them is decided again: each schedule's state says how far it has come.
WITH deleted AS (
    DELETE FROM jobsd.schedule_runs
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM jobsd.schedule_runs
        WHERE last_due_at < $1::timestamptz AND state <> 'waiting' LIMIT $2::integer))
    RETURNING 1
)
SELECT count(*) FROM deleted
