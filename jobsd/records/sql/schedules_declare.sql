-- schedules_declare: write down the schedules that a daemon declares, and that it is alive.
--
-- $1  schedules    text     a JSON array of {"name", "src": source, "d": definition}
-- $2  fingerprint  text     of the whole declaration
-- $3  at_start     boolean  it has just started; else its word does not count against a later one that is alive
-- $4  age_ms       bigint   since its start, where that is not known any more
WITH alive AS (
    INSERT INTO jobsd.schedule_declarations AS kept (fingerprint, started_at)
    VALUES ($2::text, clock_timestamp() - $4::bigint * interval '1 ms')
    ON CONFLICT (fingerprint) DO UPDATE SET
        seen_at = excluded.seen_at,
        started_at = CASE WHEN $3::boolean THEN excluded.started_at ELSE kept.started_at END
), here AS (
    SELECT to_jsonb((extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS now,
        coalesce((SELECT d.started_at FROM jobsd.schedule_declarations AS d
                  WHERE d.fingerprint = $2::text AND NOT $3::boolean),
            clock_timestamp() - $4::bigint * interval '1 ms') AS started_at
)
INSERT INTO jobsd.schedules AS kept (name, source, definition, state, declared_by)
SELECT sent.name, sent.src, sent.d, jsonb_build_object('cursor', here.now, 'anchor', here.now), $2::text
FROM here, json_to_recordset($1::text::json) AS sent (name text, src text, d json)
ORDER BY sent.name
ON CONFLICT (name) DO UPDATE SET
    version = kept.version + 1, source = excluded.source, definition = excluded.definition,
    declared_by = excluded.declared_by,
    changed = CASE WHEN kept.definition::text = excluded.definition::text AND kept.source = excluded.source THEN kept.changed
        ELSE nextval('jobsd.schedules_changed') END,
    state = jobsd.state_of_schedule(kept.state, kept.definition, excluded.definition)
WHERE (kept.definition::text, kept.source, kept.declared_by) IS DISTINCT FROM
        (excluded.definition::text, excluded.source, excluded.declared_by)
    AND (kept.source = 'runtime' OR NOT EXISTS (
        SELECT FROM jobsd.schedule_declarations AS d
        WHERE d.fingerprint = kept.declared_by AND d.seen_at > clock_timestamp() - interval '30 seconds'
            AND (d.started_at, d.fingerprint) > ((SELECT started_at FROM here), $2::text)))
