-- schedules_once: run-time schedules that are due once, and have been decided about, or paused, before an instant.
--
-- $1  before_ms  bigint
-- $2  after      text    the name behind which to begin
-- $3  most       integer
SELECT name, version, definition, state, source FROM jobsd.schedules
WHERE source = 'runtime' AND definition->>'at' ~* '^\s*@once\s' AND (state->>'cursor')::bigint < $1::bigint AND name > $2::text
ORDER BY name LIMIT $3::integer
