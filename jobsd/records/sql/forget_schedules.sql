-- forget_schedules: delete schedules that nobody needs any more: what was to be once, and has been; what no daemon declares.
--
-- $1  before  timestamptz  of the first, those that were due before; a declaration is forgotten 30 days after its last daemon
-- Returns how many they were.
WITH deleted AS (
    DELETE FROM jobsd.schedules AS e
    WHERE e.source = 'runtime' AND e.definition->>'at' LIKE '@once %'
        AND jobsd.instant((e.state->>'last_due')::bigint) < $1::timestamptz
        AND coalesce(jsonb_array_length(e.state->'waiting'), 0) = 0
        OR e.source <> 'runtime' AND e.created_at < clock_timestamp() - interval '1 day' AND NOT EXISTS (
            SELECT FROM jobsd.schedule_declarations AS d WHERE d.fingerprint = e.declared_by)
    RETURNING 1
)
SELECT count(*) FROM deleted
