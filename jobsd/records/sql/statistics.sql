-- statistics: what became of the attempts that started in some hours, for each task.
--
-- $1  since      timestamptz  the beginning of an hour
-- $2  days_from  timestamptz  of the whole days in between, which are summed up already; the beginning of the first
-- $3  days_to    timestamptz  and the end of the last; both are $1 where there are none
-- $4  until      timestamptz  the last hour is the one before it, or that it lies in
-- $5  task       text         null: all
-- $6  queue      text         null: all
-- $7  step       text         'hour', 'day' (of UTC), or 'all' for one row a task
-- A line of the answer is a number on the way, and a measure twice that for durations, one more for waits: to group and
-- to sort some hundred thousand buckets by numbers takes two thirds of the time that names and instants would.
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
    SELECT *, dense_rank() OVER (ORDER BY task, step)::integer AS line
    FROM (SELECT *, CASE WHEN $7::text = 'all' THEN $1 ELSE date_trunc($7, at, 'UTC') END AS step FROM parts) AS found
), lengths AS MATERIALIZED (
    SELECT 2 * line AS measure, bucket, sum(n)::bigint AS n
    FROM placed, unnest(duration_buckets, duration_counts) AS counted (bucket, n) GROUP BY line, bucket
    UNION ALL
    SELECT 2 * line + 1, bucket, sum(n)::bigint
    FROM placed, unnest(wait_buckets, wait_counts) AS counted (bucket, n) GROUP BY line, bucket
), totals AS (
    SELECT measure, sum(n)::bigint AS total FROM lengths GROUP BY measure
), ranked AS (
    SELECT measure, bucket,
        sum(n) OVER (PARTITION BY measure ORDER BY bucket ROWS UNBOUNDED PRECEDING)::bigint AS upto
    FROM lengths
), quantiles AS (
    SELECT measure, min(total) AS total,
        jobsd.bucket_middle(min(bucket) FILTER (WHERE upto * 100 >= 50 * total)) AS p50_s,
        jobsd.bucket_middle(min(bucket) FILTER (WHERE upto * 100 >= 95 * total)) AS p95_s,
        jobsd.bucket_middle(min(bucket) FILTER (WHERE upto * 100 >= 99 * total)) AS p99_s
    FROM ranked JOIN totals USING (measure) GROUP BY measure
), sums AS (
    SELECT line, min(task) AS task, min(step) AS at,
        sum(runs)::bigint AS runs, sum(succeeded)::bigint AS succeeded,
        (sum(failed) + sum(timed_out))::bigint AS failures,
        sum(timed_out)::bigint AS timed_out, sum(snoozed)::bigint AS snoozed, sum(dropped)::bigint AS dropped,
        sum(cancelled)::bigint AS cancelled, sum(interrupted)::bigint AS interrupted, sum(lost)::bigint AS lost,
        sum(expired)::bigint AS expired, sum(retries)::bigint AS retries, sum(archived)::bigint AS archived,
        sum(duration_ms)::float8 / 1000 AS seconds
    FROM placed GROUP BY line
)
SELECT task, at, runs, succeeded, failures, timed_out, snoozed, dropped, cancelled, interrupted, lost, expired, retries,
    archived, seconds / took.total AS mean_s, took.p50_s, took.p95_s, took.p99_s,
    waited.p50_s AS wait_p50_s, waited.p95_s AS wait_p95_s, waited.p99_s AS wait_p99_s
FROM sums
LEFT JOIN quantiles AS took ON took.measure = 2 * line
LEFT JOIN quantiles AS waited ON waited.measure = 2 * line + 1
ORDER BY line
