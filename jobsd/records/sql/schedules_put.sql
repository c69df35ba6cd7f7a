-- schedules_put: write a run-time schedule.
--
-- $1  name        text
-- $2  definition  text     JSON
-- $3  version     bigint   of the one that it replaces; null: it is to be a new one
-- Returns its name, or nothing: the name is taken, or what it replaces is another by now.
WITH here AS (
    SELECT to_jsonb((extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS now
), added AS (
    INSERT INTO jobsd.schedules (name, source, definition, state)
    SELECT $1::text, 'runtime', $2::text::json, jsonb_build_object('cursor', now, 'anchor', now)
    FROM here WHERE $3::bigint IS NULL
    ON CONFLICT (name) DO NOTHING
    RETURNING name
), replaced AS (
    UPDATE jobsd.schedules SET
        version = version + 1, changed = nextval('jobsd.schedules_changed'), definition = $2::text::json,
        state = jobsd.state_of_schedule(state, definition, $2::text::json)
    WHERE name = $1::text AND source = 'runtime' AND version = $3::bigint
    RETURNING name
)
SELECT name FROM added UNION ALL SELECT name FROM replaced
