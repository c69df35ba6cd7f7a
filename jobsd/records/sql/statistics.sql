-- statistics: what became of the attempts that started in some hours, for each task.
--
-- $1  since      timestamptz  the beginning of an hour
-- $2  days_from  timestamptz  of the whole days in between, which are summed up already; the beginning of the first
-- $3  days_to    timestamptz  and the end of the last; both are $1 where there are none
-- $4  until      timestamptz  the last hour is the one before it, or that it lies in
-- $5  task       text         null: all
-- $6  queue      text         null: all
-- $7  step       text         'hour', 'day' (of UTC), or 'all' for one row a task
WITH parts AS (
    SELECT * FROM jobsd.statistics
    WHERE span = 'hour' AND at >= $1::timestamptz AND at < $2::timestamptz
      AND ($5::text IS NULL OR task = $5) AND ($6::text IS NULL OR queue = $6)
    UNION ALL
    SELECT * FROM jobsd.statistics
    WHERE span = 'day' AND at >= $2 AND at < $3::timestamptz
      AND ($5::text IS NULL OR task = $5) AND ($6::text IS NULL OR queue = $6)
    UNION ALL
    SELECT * FROM jobsd.statistics
    WHERE span = 'hour' AND at >= $3 AND at < $4::timestamptz
      AND ($5::text IS NULL OR task = $5) AND ($6::text IS NULL OR queue = $6)
    UNION ALL
    SELECT * FROM jobsd.statistics_changes
    WHERE at >= $1 AND at < $4
      AND ($5::text IS NULL OR task = $5) AND ($6::text IS NULL OR queue = $6)
), placed AS MATERIALIZED (
    SELECT *, CASE WHEN $7::text = 'all' THEN $1 ELSE date_trunc($7, at, 'UTC') END AS step FROM parts
), lengths AS (
    SELECT task, step, false AS waited, bucket, sum(n) AS n
    FROM placed, unnest(duration_buckets, duration_counts) AS counted (bucket, n) GROUP BY task, step, bucket
    UNION ALL
    SELECT task, step, true, bucket, sum(n)
    FROM placed, unnest(wait_buckets, wait_counts) AS counted (bucket, n) GROUP BY task, step, bucket
), ranked AS (
    SELECT task, step, waited, bucket,
        sum(n) OVER (PARTITION BY task, step, waited ORDER BY bucket) AS upto,
        sum(n) OVER (PARTITION BY task, step, waited) AS total
    FROM lengths
), quantiles AS (
    SELECT task, step,
        jobsd.bucket_middle(min(bucket) FILTER (WHERE NOT waited AND upto >= 0.50 * total)) AS p50_s,
        jobsd.bucket_middle(min(bucket) FILTER (WHERE NOT waited AND upto >= 0.95 * total)) AS p95_s,
        jobsd.bucket_middle(min(bucket) FILTER (WHERE NOT waited AND upto >= 0.99 * total)) AS p99_s,
        jobsd.bucket_middle(min(bucket) FILTER (WHERE waited AND upto >= 0.50 * total)) AS wait_p50_s,
        jobsd.bucket_middle(min(bucket) FILTER (WHERE waited AND upto >= 0.95 * total)) AS wait_p95_s,
        jobsd.bucket_middle(min(bucket) FILTER (WHERE waited AND upto >= 0.99 * total)) AS wait_p99_s,
        coalesce(max(total) FILTER (WHERE NOT waited), 0) AS measured
    FROM ranked GROUP BY task, step
)
SELECT task, step AS at,
    sum(runs)::bigint AS runs, sum(succeeded)::bigint AS succeeded,
    (sum(failed) + sum(timed_out))::bigint AS failures,
    sum(timed_out)::bigint AS timed_out, sum(snoozed)::bigint AS snoozed, sum(dropped)::bigint AS dropped,
    sum(cancelled)::bigint AS cancelled, sum(interrupted)::bigint AS interrupted, sum(lost)::bigint AS lost,
    sum(expired)::bigint AS expired, sum(retries)::bigint AS retries, sum(archived)::bigint AS archived,
    sum(duration_ms)::float8 / 1000 / nullif(max(measured), 0)::float8 AS mean_s,
    max(p50_s) AS p50_s, max(p95_s) AS p95_s, max(p99_s) AS p99_s,
    max(wait_p50_s) AS wait_p50_s, max(wait_p95_s) AS wait_p95_s, max(wait_p99_s) AS wait_p99_s
FROM placed LEFT JOIN quantiles USING (task, step)
GROUP BY task, step
ORDER BY task, step
