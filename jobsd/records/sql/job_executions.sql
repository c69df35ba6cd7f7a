-- job_executions: one row for every attempt that ran, from jobsd.executions.
--
-- job_id is the id of the schedule, or the task's name where the job came from no schedule. success is true for what
-- succeeded and false for what failed, timed out, was cancelled or lost with its worker. It is null for what neither
-- succeeded nor failed: snoozed, interrupted by a shutdown, dropped by the task's own wish. Jobs that ended without a
-- run (expired, or cancelled while they waited) are not here but in job_log. The message of an attempt that succeeded
-- is the "message" of its result, if it has one. Instants have a time zone.
CREATE OR REPLACE VIEW job_executions AS
SELECT
    id,
    coalesce(schedule_id, task) AS job_id,
    started_at,
    finished_at,
    duration_seconds,
    CASE WHEN outcome = 'succeeded' THEN true
         WHEN outcome IN ('snoozed', 'interrupted', 'dropped') THEN NULL
         ELSE false END AS success,
    coalesce(message, CASE WHEN outcome = 'succeeded' AND jsonb_typeof(result_data -> 'message') = 'string'
                           THEN result_data ->> 'message' END) AS message,
    error_trace,
    result_data::json AS result_data,
    created_at,
    updated_at
FROM jobsd.executions
WHERE outcome <> 'expired' AND worker <> ''
