-- forget_schedules: delete schedules that no daemon declares any more, and let nothing of them wait.
--
-- No parameters.
-- Returns how many they were. A declaration is forgotten 30 days after its last daemon.
WITH deleted AS (
    DELETE FROM jobsd.schedules AS e
    WHERE e.source <> 'runtime' AND e.created_at < clock_timestamp() - interval '1 day' AND NOT EXISTS (
        SELECT FROM jobsd.schedule_declarations AS d WHERE d.fingerprint = e.declared_by)
    RETURNING name
), left_over AS (
    UPDATE jobsd.schedule_runs AS r SET state = 'passed', reason = 'removed' FROM deleted
    WHERE r.schedule = deleted.name AND r.state = 'waiting'
)
SELECT count(*) FROM deleted
