-- schedules_look: the server's time, and schedules with what is known of their last job.
--
-- $1  names  text[]  null for all
-- One row at the least; its name is null if there is no such schedule.
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now,
    e.name, e.version, e.source, e.definition, e.state, e.declared_by,
    e.source = 'runtime' OR coalesce(d.seen_at > clock_timestamp() - interval '30 seconds', false) AS declared,
    o.job_id IS NOT NULL AS last_is_live
FROM (SELECT) AS one
LEFT JOIN jobsd.schedules AS e ON $1::text[] IS NULL OR e.name = ANY ($1::text[])
LEFT JOIN jobsd.schedule_declarations AS d ON d.fingerprint = e.declared_by
LEFT JOIN jobsd.outbox AS o ON o.job_id = split_part(e.state->>'last_job', ' ', 1)
    AND o.incarnation = split_part(e.state->>'last_job', ' ', 2)
