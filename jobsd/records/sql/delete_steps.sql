-- delete_steps: delete steps of jobs of which none ran, and no sleep ended, at an instant or later.
--
-- $1  before  timestamptz
-- $2  most    integer
-- Returns how many they were. A job that sleeps until then needs the steps that it has taken before.
WITH deleted AS (
    DELETE FROM jobsd.steps
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM jobsd.steps AS old
        WHERE at < $1::timestamptz AND NOT EXISTS (
            SELECT FROM jobsd.steps AS later
            WHERE later.job_id = old.job_id AND later.incarnation = old.incarnation AND later.at >= $1::timestamptz)
        LIMIT $2::integer))
    RETURNING 1
)
SELECT count(*) FROM deleted
