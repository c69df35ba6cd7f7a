-- forget_schedules: delete schedules that no daemon declares any more.
--
-- No parameters.
-- Returns how many they were. A declaration is forgotten 30 days after its last daemon.
WITH deleted AS (
    DELETE FROM jobsd.schedules AS e
    WHERE e.source <> 'runtime' AND e.created_at < clock_timestamp() - interval '1 day' AND NOT EXISTS (
        SELECT FROM jobsd.schedule_declarations AS d WHERE d.fingerprint = e.declared_by)
    RETURNING 1
)
SELECT count(*) FROM deleted
