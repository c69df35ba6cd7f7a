-- schedules_history: what came of due times, the latest first, each with the latest attempt of its job, the start of the first, and
-- whether the job is in the outbox still: then it has not ended.
--
-- $1  name    text     null for all schedules
-- $2  most    integer
-- $3  since   bigint   epoch ms: due times from then on, of those that were passed over in a row the latest; or null
-- $4  passed  boolean  only what was passed over
SELECT r.schedule AS name, r.due_at, r.last_due_at, r.state, r.reason, r.due_times, r.job_id, r.manual, r.decided_at,
    x.started_at, x.finished_at, x.outcome, x.attempts, x.message, o.job_id IS NOT NULL AS live
FROM (
    SELECT * FROM jobsd.schedule_runs
    WHERE ($1::text IS NULL OR schedule = $1::text)
      AND ($3::bigint IS NULL OR last_due_at >= jobsd.instant($3::bigint))
      AND (NOT $4::boolean OR state = 'passed')
    ORDER BY last_due_at DESC, schedule LIMIT $2::integer
) AS r
LEFT JOIN LATERAL (
    SELECT min(e.started_at) OVER () AS started_at, e.finished_at, e.outcome, e.message, e.attempt AS attempts
    FROM jobsd.executions AS e
    WHERE e.job_id = r.job_id AND e.incarnation = r.incarnation
    ORDER BY e.attempt DESC, e.started_at DESC LIMIT 1
) AS x ON true
LEFT JOIN jobsd.outbox AS o ON o.job_id = r.job_id AND o.incarnation = r.incarnation
ORDER BY r.last_due_at DESC, r.schedule
