-- insert_executions: write a batch of attempts; a better outcome replaces `lost`, nothing else is overwritten.
--
-- $1  job_id        text[]
-- $2  incarnation   text[]
-- $3  task          text[]
-- $4  queue         text[]
-- $5  attempt       integer[]
-- $6  outcome       text[]
-- $7  transition    text[]
-- $8  enqueued_at   bigint[]    epoch ms, as every instant here
-- $9  scheduled_for bigint[]
-- $10 started_at    bigint[]
-- $11 finished_at   bigint[]
-- $12 worker        text[]
-- $13 message       text[]
-- $14 error_type    text[]
-- $15 error_trace   text[]
-- $16 args          text[]      JSON
-- $17 result_data   text[]      JSON
-- $18 schedule_id   text[]
-- $19 batch_id      text[]
-- $20 trace_id      text[]
-- A column of nulls alone may be null itself.
-- The batch holds no (job_id, attempt, started_at) twice: Postgres refuses to update a row of its own statement.
INSERT INTO jobsd.executions AS kept (
    job_id, incarnation, task, queue, attempt, outcome, transition,
    enqueued_at, scheduled_for, started_at, finished_at, worker,
    message, error_type, error_trace, args, result_data, schedule_id, batch_id, trace_id)
SELECT
    job_id, incarnation, task, queue, attempt, outcome, transition,
    jobsd.instant(enqueued_at), jobsd.instant(scheduled_for), jobsd.instant(started_at), jobsd.instant(finished_at),
    worker, message, error_type, error_trace, args::jsonb, result_data::jsonb, schedule_id, batch_id, trace_id
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::text[],
    $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[],
    $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[]
) AS sent (
    job_id, incarnation, task, queue, attempt, outcome, transition,
    enqueued_at, scheduled_for, started_at, finished_at, worker,
    message, error_type, error_trace, args, result_data, schedule_id, batch_id, trace_id)
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
