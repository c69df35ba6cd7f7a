-- job_log: one row for every job that ended, from jobsd.executions.
--
-- job_id is the id of the job. status is COMPLETED, or FAILED for what was archived: failed with no retry left, timed
-- out, cancelled, expired, lost too often. A job that dropped itself is COMPLETED and has no result: nothing failed.
-- An archived job that was run again has a row for each of its ends. id is made of the run's key and always the same.
-- created_at is the instant of the end, not that of the row in the ledger.
CREATE OR REPLACE VIEW job_log AS
SELECT
    -- A uuid of version 8 (RFC 9562): strict readers refuse 16 bytes that have no version.
    overlay(overlay(md5(job_id || ' ' || attempt::text || ' ' || extract(epoch FROM started_at)::text)
        PLACING '8' FROM 13) PLACING 'a' FROM 17)::uuid AS id,
    job_id,
    queue AS queue_name,
    CASE WHEN transition = 'archived' THEN 'FAILED' ELSE 'COMPLETED' END AS status,
    CASE WHEN transition = 'completed' THEN result_data::json END AS result,
    CASE WHEN transition = 'archived' THEN coalesce(nullif(message, ''), error_type, outcome) END AS error_message,
    finished_at AS created_at
FROM jobsd.executions
WHERE transition IN ('completed', 'archived', 'removed')
