-- fold_statistics: sum changes of statistics up into the hours, and the days, that they are of.
--
-- $1  most  integer  changes at the most
-- Returns how many changes were taken. Only one at a time may do it: see fold_alone.
WITH taken AS (
    DELETE FROM jobsd.statistics_changes
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM jobsd.statistics_changes LIMIT $1::integer))
    RETURNING *
), to_add AS (
    SELECT * FROM taken
    UNION ALL
    SELECT 'day', date_trunc('day', at, 'UTC'), task, queue, runs, succeeded, failed, timed_out, snoozed, dropped,
        cancelled, interrupted, lost, expired, retries, archived, duration_ms,
        duration_buckets, duration_counts, wait_buckets, wait_counts
    FROM taken
), parts AS (
    SELECT * FROM to_add
    UNION ALL
    SELECT known.* FROM jobsd.statistics AS known
    WHERE (span, task, at, queue) IN (SELECT span, task, at, queue FROM to_add)
), durations AS (
    SELECT span, at, task, queue, array_agg(bucket ORDER BY bucket) AS buckets, array_agg(n ORDER BY bucket) AS counts
    FROM (SELECT span, at, task, queue, bucket, sum(n)::bigint AS n
          FROM parts, unnest(duration_buckets, duration_counts) AS counted (bucket, n)
          GROUP BY span, at, task, queue, bucket) AS found
    GROUP BY span, at, task, queue
), waits AS (
    SELECT span, at, task, queue, array_agg(bucket ORDER BY bucket) AS buckets, array_agg(n ORDER BY bucket) AS counts
    FROM (SELECT span, at, task, queue, bucket, sum(n)::bigint AS n
          FROM parts, unnest(wait_buckets, wait_counts) AS counted (bucket, n)
          GROUP BY span, at, task, queue, bucket) AS found
    GROUP BY span, at, task, queue
), sums AS (
    SELECT span, at, task, queue, sum(runs) AS runs, sum(succeeded) AS succeeded, sum(failed) AS failed,
        sum(timed_out) AS timed_out, sum(snoozed) AS snoozed, sum(dropped) AS dropped, sum(cancelled) AS cancelled,
        sum(interrupted) AS interrupted, sum(lost) AS lost, sum(expired) AS expired, sum(retries) AS retries,
        sum(archived) AS archived, sum(duration_ms) AS duration_ms
    FROM parts GROUP BY span, at, task, queue
), folded AS (
    INSERT INTO jobsd.statistics
    SELECT sums.*, coalesce(durations.buckets, '{}'), coalesce(durations.counts, '{}'),
        coalesce(waits.buckets, '{}'), coalesce(waits.counts, '{}')
    FROM sums LEFT JOIN durations USING (span, at, task, queue) LEFT JOIN waits USING (span, at, task, queue)
    ON CONFLICT (span, at, task, queue) DO UPDATE SET
        runs = excluded.runs, succeeded = excluded.succeeded, failed = excluded.failed,
        timed_out = excluded.timed_out, snoozed = excluded.snoozed, dropped = excluded.dropped,
        cancelled = excluded.cancelled, interrupted = excluded.interrupted, lost = excluded.lost,
        expired = excluded.expired, retries = excluded.retries, archived = excluded.archived,
        duration_ms = excluded.duration_ms,
        duration_buckets = excluded.duration_buckets, duration_counts = excluded.duration_counts,
        wait_buckets = excluded.wait_buckets, wait_counts = excluded.wait_counts
)
SELECT count(*) FROM taken
