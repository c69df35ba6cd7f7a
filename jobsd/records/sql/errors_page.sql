-- errors_page: failures that are alike, those seen last first.
--
-- $1  task   text         null: of all
-- $2  since  timestamptz  last seen then or later; null: ever
-- $3  limit  integer
WITH changes AS (
    SELECT task, fingerprint, sum(failures) AS failures, min(first_seen_at) AS first_seen_at,
        max(last_seen_at) AS last_seen_at, (array_agg(error_type ORDER BY last_seen_at DESC))[1] AS error_type,
        (array_agg(job_id ORDER BY last_seen_at DESC))[1] AS job_id,
        (array_agg(message ORDER BY last_seen_at DESC))[1] AS message
    FROM jobsd.errors_changes WHERE $1::text IS NULL OR task = $1
    GROUP BY task, fingerprint
), known AS (
    SELECT * FROM jobsd.errors
    WHERE ($1::text IS NULL OR task = $1) AND ($2::timestamptz IS NULL OR last_seen_at >= $2)
    UNION
    SELECT errors.* FROM jobsd.errors JOIN changes USING (task, fingerprint)
)
SELECT task, fingerprint, coalesce(known.error_type, changes.error_type) AS error_type,
    (coalesce(known.failures, 0) + coalesce(changes.failures, 0))::bigint AS failures,
    least(known.first_seen_at, changes.first_seen_at) AS first_seen_at,
    greatest(known.last_seen_at, changes.last_seen_at) AS last_seen_at,
    CASE WHEN known.last_seen_at > changes.last_seen_at THEN known.job_id
         ELSE coalesce(changes.job_id, known.job_id) END AS job_id,
    CASE WHEN known.last_seen_at > changes.last_seen_at OR changes.job_id IS NULL THEN known.message
         ELSE changes.message END AS message
FROM known FULL JOIN changes USING (task, fingerprint)
WHERE $2::timestamptz IS NULL OR greatest(known.last_seen_at, changes.last_seen_at) >= $2
ORDER BY greatest(known.last_seen_at, changes.last_seen_at) DESC, task, fingerprint
LIMIT $3::integer
