-- executions_page: executions newest first, those that fit.
--
-- $1  limit  integer
-- Conditions come where it says so, one for each thing asked for: a plan for those, not one for all that there could be.
SELECT id, job_id, incarnation, task, queue, attempt, outcome, transition, success,
       enqueued_at, scheduled_for, started_at, finished_at, duration_seconds::float8 AS duration_s,
       message, error_type, error_trace, args, result_data, worker, schedule_id, batch_id, trace_id,
       fingerprint, altered, created_at, updated_at
FROM jobsd.executions
WHERE true /* conditions */
ORDER BY started_at DESC, id DESC
LIMIT $1::integer
