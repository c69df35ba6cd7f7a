-- summary: what became of each task's attempts since an instant.
--
-- $1  since  timestamptz
-- Lost and expired attempts count as runs, but say nothing about how long the task takes.
SELECT task,
       count(*) AS runs,
       count(*) FILTER (WHERE success) AS succeeded,
       count(*) FILTER (WHERE transition = 'retry') AS retries,
       count(*) FILTER (WHERE outcome IN ('failed', 'timed_out')) AS failures,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_seconds::float8)
           FILTER (WHERE outcome NOT IN ('lost', 'expired')) AS p50_s,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds::float8)
           FILTER (WHERE outcome NOT IN ('lost', 'expired')) AS p95_s
FROM jobsd.executions
WHERE started_at >= $1::timestamptz
GROUP BY task
ORDER BY task
