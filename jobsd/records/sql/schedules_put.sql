-- schedules_put: write a run-time schedule.
--
-- $1  name        text
-- $2  definition  text     JSON
-- $3  replace     boolean  one that there is, in place of a new one
-- Returns its name, or nothing: the name is taken, or there is nothing to replace.
WITH here AS (
    SELECT to_jsonb((extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS now
), added AS (
    INSERT INTO jobsd.schedules (name, source, definition, state)
    SELECT $1::text, 'runtime', $2::text::jsonb, jsonb_build_object('cursor', now, 'anchor', now)
    FROM here WHERE NOT $3::boolean
    ON CONFLICT (name) DO NOTHING
    RETURNING name
), replaced AS (
    UPDATE jobsd.schedules SET
        version = version + 1, changed = nextval('jobsd.schedules_changed'), definition = $2::text::jsonb,
        state = jobsd.state_of_schedule(state, definition, $2::text::jsonb)
    WHERE name = $1::text AND source = 'runtime' AND $3::boolean
    RETURNING name
)
SELECT name FROM added UNION ALL SELECT name FROM replaced
