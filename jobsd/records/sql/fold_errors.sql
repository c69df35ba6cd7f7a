-- fold_errors: add new failures to those that are alike.
--
-- $1  most  integer  changes at the most
-- Returns how many changes were taken. Only one at a time may do it: see fold_alone.
WITH taken AS (
    DELETE FROM jobsd.errors_changes
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM jobsd.errors_changes LIMIT $1::integer))
    RETURNING *
), folded AS (
    INSERT INTO jobsd.errors AS known
    SELECT task, fingerprint, (array_agg(error_type ORDER BY last_seen_at DESC))[1], sum(failures),
        min(first_seen_at), max(last_seen_at),
        (array_agg(job_id ORDER BY last_seen_at DESC))[1], (array_agg(message ORDER BY last_seen_at DESC))[1]
    FROM taken GROUP BY task, fingerprint
    ON CONFLICT (task, fingerprint) DO UPDATE SET
        error_type = excluded.error_type,
        failures = known.failures + excluded.failures,
        first_seen_at = least(known.first_seen_at, excluded.first_seen_at),
        last_seen_at = greatest(known.last_seen_at, excluded.last_seen_at),
        job_id = CASE WHEN excluded.last_seen_at >= known.last_seen_at THEN excluded.job_id ELSE known.job_id END,
        message = CASE WHEN excluded.last_seen_at >= known.last_seen_at THEN excluded.message ELSE known.message END
)
SELECT count(*) FROM taken
