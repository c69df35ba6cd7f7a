-- schedules_remove: delete a schedule that no daemon declares, and let nothing of it wait.
--
-- $1  name  text
-- Returns its name, or nothing.
WITH gone AS (
    DELETE FROM jobsd.schedules AS e WHERE e.name = $1::text AND (e.source = 'runtime' OR NOT EXISTS (
        SELECT FROM jobsd.schedule_declarations AS d
        WHERE d.fingerprint = e.declared_by AND d.seen_at > clock_timestamp() - interval '30 seconds'))
    RETURNING e.name
), left_over AS (
    UPDATE jobsd.schedule_runs AS r SET state = 'passed', reason = 'removed' FROM gone
    WHERE r.schedule = gone.name AND r.state = 'waiting'
)
SELECT name FROM gone
