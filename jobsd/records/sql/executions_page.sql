-- executions_page: executions newest first, of one job, task or outcome where given.
--
-- $1  job_id      text         null: of any
-- $2  task        text         null: of any
-- $3  outcome     text         null: any
-- $4  started_at  timestamptz  the last row of the page before; null: from the newest
-- $5  id          bigint       the same row's
-- $6  limit       integer
SELECT id, job_id, incarnation, task, queue, attempt, outcome, transition, success,
       enqueued_at, scheduled_for, started_at, finished_at, duration_seconds::float8 AS duration_s,
       message, error_type, error_trace, args, result_data, worker, schedule_id, batch_id, trace_id,
       created_at, updated_at
FROM jobsd.executions
WHERE ($1::text IS NULL OR job_id = $1)
  AND ($2::text IS NULL OR task = $2)
  AND ($3::text IS NULL OR outcome = $3)
  AND ($4::timestamptz IS NULL OR (started_at, id) < ($4, $5::bigint))
ORDER BY started_at DESC, id DESC
LIMIT $6::integer
