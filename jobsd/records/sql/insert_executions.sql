-- insert_executions: write a batch of attempts; a better outcome replaces `lost`, nothing else is overwritten.
--
-- $1  executions  jsonb[]  each the array of an Execution's fields in their order; instants are epoch ms
-- Each is a document of its own, so none can end early and become two. Fields beyond the last are passed over.
-- The batch holds no (job_id, attempt, started_at) twice: Postgres refuses to update a row of its own statement.
-- ->> makes a text of anything. What is not of its kind makes the task null, which refuses the batch as a whole;
-- outcome and transition have their own checks. No jsonb is built to look at the kind of a null.
INSERT INTO jobsd.executions AS kept (
    job_id, incarnation, task, queue, attempt, outcome, transition,
    enqueued_at, scheduled_for, started_at, finished_at, worker,
    message, error_type, error_trace, args, result_data, schedule_id, batch_id, trace_id)
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
    THEN sent->>2 END,
    sent->>3, (sent->>4)::integer, sent->>5, sent->>6,
    jobsd.instant((sent->>7)::bigint), jobsd.instant((sent->>8)::bigint),
    jobsd.instant((sent->>9)::bigint), jobsd.instant((sent->>10)::bigint),
    sent->>11, sent->>12, sent->>13, sent->>14,
    CASE WHEN sent->>15 IS NOT NULL THEN sent->15 END,
    CASE WHEN sent->>16 IS NOT NULL THEN sent->16 END,
    sent->>17, sent->>18, sent->>19
FROM unnest($1::jsonb[]) AS executions (sent)
ON CONFLICT (job_id, attempt, started_at) DO UPDATE SET
    incarnation = excluded.incarnation, task = excluded.task, queue = excluded.queue,
    outcome = excluded.outcome, transition = excluded.transition,
    enqueued_at = excluded.enqueued_at, scheduled_for = excluded.scheduled_for,
    finished_at = excluded.finished_at, worker = excluded.worker,
    message = excluded.message, error_type = excluded.error_type, error_trace = excluded.error_trace,
    args = excluded.args, result_data = excluded.result_data,
    schedule_id = excluded.schedule_id, batch_id = excluded.batch_id, trace_id = excluded.trace_id,
    updated_at = now()
WHERE kept.outcome = 'lost' AND excluded.outcome <> 'lost'
