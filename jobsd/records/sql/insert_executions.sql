-- insert_executions: write a batch of attempts, and what it adds to the statistics and to the failures that are alike.
--
-- $1  executions  jsonb[]  each the array of an Execution's fields in their order; instants are epoch ms
-- Returns how many rows are new, or better: a better outcome replaces `lost`, nothing else is overwritten.
-- Each is a document of its own, so none can end early and become two. Fields beyond the last are passed over.
-- The batch holds no (job_id, attempt, started_at) twice: Postgres refuses to update a row of its own statement.
-- ->> makes a text of anything. What is not of its kind, or has a name that no index could hold, makes the task null,
-- which refuses the batch as a whole; outcome and transition have their own checks. No jsonb is built to look at the
-- kind of a null.
-- What was lost has been counted: its better outcome is no further run, and one less that is lost.
-- A job of the outbox, whose incarnation begins with o, leaves it with the execution that ends it.
WITH written AS (
    INSERT INTO jobsd.executions AS kept (
        job_id, incarnation, task, queue, attempt, outcome, transition,
        enqueued_at, scheduled_for, started_at, finished_at, worker,
        message, error_type, error_trace, args, result_data, schedule_id, batch_id, trace_id, fingerprint, altered)
    SELECT
        sent->>0, sent->>1,
        CASE WHEN jsonb_typeof(sent->0) = 'string'
            AND (sent->>1 IS NULL OR jsonb_typeof(sent->1) = 'string')
            AND jsonb_typeof(sent->2) = 'string'
            AND jsonb_typeof(sent->3) = 'string'
            AND jsonb_typeof(sent->4) = 'number'
            AND (sent->>7 IS NULL OR jsonb_typeof(sent->7) = 'number')
            AND (sent->>8 IS NULL OR jsonb_typeof(sent->8) = 'number')
            AND jsonb_typeof(sent->9) = 'number'
            AND jsonb_typeof(sent->10) = 'number'
            AND jsonb_typeof(sent->11) = 'string'
            AND (sent->>12 IS NULL OR jsonb_typeof(sent->12) = 'string')
            AND (sent->>13 IS NULL OR jsonb_typeof(sent->13) = 'string')
            AND (sent->>14 IS NULL OR jsonb_typeof(sent->14) = 'string')
            AND (sent->>17 IS NULL OR jsonb_typeof(sent->17) = 'string')
            AND (sent->>18 IS NULL OR jsonb_typeof(sent->18) = 'string')
            AND (sent->>19 IS NULL OR jsonb_typeof(sent->19) = 'string')
            AND (sent->>20 IS NULL OR jsonb_typeof(sent->20) = 'string' AND octet_length(sent->>20) <= 64)
            AND octet_length(sent->>2) <= 512 AND octet_length(sent->>3) <= 512
        THEN sent->>2 END,
        sent->>3, (sent->>4)::integer, sent->>5, sent->>6,
        jobsd.instant((sent->>7)::bigint), jobsd.instant((sent->>8)::bigint),
        jobsd.instant((sent->>9)::bigint), jobsd.instant((sent->>10)::bigint),
        sent->>11, sent->>12, sent->>13, sent->>14,
        CASE WHEN sent->>15 IS NOT NULL THEN sent->15 END,
        CASE WHEN sent->>16 IS NOT NULL THEN sent->16 END,
        sent->>17, sent->>18, sent->>19, sent->>20, coalesce((sent->>21)::boolean, false)
    FROM unnest($1::jsonb[]) AS executions (sent)
    ON CONFLICT (job_id, attempt, started_at) DO UPDATE SET
        incarnation = excluded.incarnation, task = excluded.task, queue = excluded.queue,
        outcome = excluded.outcome, transition = excluded.transition,
        enqueued_at = excluded.enqueued_at, scheduled_for = excluded.scheduled_for,
        finished_at = excluded.finished_at, worker = excluded.worker,
        message = excluded.message, error_type = excluded.error_type, error_trace = excluded.error_trace,
        args = excluded.args, result_data = excluded.result_data,
        schedule_id = excluded.schedule_id, batch_id = excluded.batch_id, trace_id = excluded.trace_id,
        fingerprint = excluded.fingerprint, altered = excluded.altered,
        -- In any case later than it was made: also by a statement that began earlier, and by a clock that went back.
        updated_at = greatest(now(), kept.created_at + interval '1 microsecond')
    WHERE kept.outcome = 'lost' AND excluded.outcome <> 'lost'
    RETURNING task, queue, outcome, transition, started_at, scheduled_for, duration_seconds::float8 AS seconds, worker,
        fingerprint, error_type, message, job_id, incarnation, updated_at > created_at AS was_lost
), ended AS (
    DELETE FROM jobsd.outbox AS o USING written AS w
    WHERE starts_with(w.incarnation, 'o') AND w.transition IN ('completed', 'archived', 'removed')
        AND o.job_id = w.job_id AND o.incarnation = w.incarnation
), measured AS (
    SELECT
        task, queue, outcome, transition, was_lost, seconds,
        date_bin('1 hour', started_at, 'epoch') AS at,
        CASE WHEN outcome IN ('succeeded', 'failed', 'timed_out', 'snoozed', 'dropped')
            THEN jobsd.bucket(seconds) END AS duration,
        CASE WHEN NOT was_lost AND worker <> '' AND outcome <> 'expired'
            THEN jobsd.bucket(extract(epoch FROM started_at - scheduled_for)::float8) END AS wait
    FROM written
), counted AS (
    SELECT
        at, task, queue,
        count(*) - count(*) FILTER (WHERE was_lost) AS runs,
        count(*) FILTER (WHERE outcome = 'succeeded') AS succeeded,
        count(*) FILTER (WHERE outcome = 'failed') AS failed,
        count(*) FILTER (WHERE outcome = 'timed_out') AS timed_out,
        count(*) FILTER (WHERE outcome = 'snoozed') AS snoozed,
        count(*) FILTER (WHERE outcome = 'dropped') AS dropped,
        count(*) FILTER (WHERE outcome = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE outcome = 'interrupted') AS interrupted,
        count(*) FILTER (WHERE outcome = 'lost') - count(*) FILTER (WHERE was_lost) AS lost,
        count(*) FILTER (WHERE outcome = 'expired') AS expired,
        count(*) FILTER (WHERE transition = 'retry') AS retries,
        count(*) FILTER (WHERE transition = 'archived' AND outcome <> 'lost') AS archived,
        coalesce(sum((seconds * 1000)::bigint) FILTER (WHERE duration IS NOT NULL), 0) AS duration_ms
    FROM measured GROUP BY at, task, queue
), durations AS (
    SELECT at, task, queue, array_agg(duration) AS buckets, array_agg(n) AS counts
    FROM (SELECT at, task, queue, duration, count(*) AS n FROM measured WHERE duration IS NOT NULL
          GROUP BY at, task, queue, duration) AS found
    GROUP BY at, task, queue
), waits AS (
    SELECT at, task, queue, array_agg(wait) AS buckets, array_agg(n) AS counts
    FROM (SELECT at, task, queue, wait, count(*) AS n FROM measured WHERE wait IS NOT NULL
          GROUP BY at, task, queue, wait) AS found
    GROUP BY at, task, queue
), to_statistics AS (
    INSERT INTO jobsd.statistics_changes
    SELECT 'hour', counted.*, coalesce(durations.buckets, '{}'), coalesce(durations.counts, '{}'),
        coalesce(waits.buckets, '{}'), coalesce(waits.counts, '{}')
    FROM counted LEFT JOIN durations USING (at, task, queue) LEFT JOIN waits USING (at, task, queue)
), to_errors AS (
    INSERT INTO jobsd.errors_changes
    SELECT task, fingerprint, coalesce(min(error_type), ''), count(*), min(started_at), max(started_at),
        (array_agg(job_id ORDER BY started_at DESC))[1], (array_agg(message ORDER BY started_at DESC))[1]
    FROM written WHERE fingerprint IS NOT NULL GROUP BY task, fingerprint
)
SELECT count(*) FROM written
