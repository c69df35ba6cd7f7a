-- last_outcomes: how the latest recorded attempt of each of these jobs has ended, and when.
--
-- $1  job_ids       text[]
-- $2  incarnations  text[]  the one of each
SELECT asked.job_id, asked.incarnation, latest.outcome, latest.finished_at
FROM unnest($1::text[], $2::text[]) AS asked (job_id, incarnation)
CROSS JOIN LATERAL (
    SELECT e.outcome, e.finished_at FROM jobsd.executions AS e
    WHERE e.job_id = asked.job_id AND e.incarnation = asked.incarnation
    ORDER BY e.attempt DESC, e.started_at DESC LIMIT 1
) AS latest
