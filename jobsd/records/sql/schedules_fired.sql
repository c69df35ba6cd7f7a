-- schedules_fired: which of these due times became a job, as far as the ledger knows.
--
-- $1  names  text[]    of the schedule of each
-- $2  dues   bigint[]  epoch ms
SELECT asked.name, asked.due
FROM unnest($1::text[], $2::bigint[]) AS asked (name, due)
JOIN jobsd.schedule_runs AS r ON r.schedule = asked.name AND r.due_at = jobsd.instant(asked.due) AND NOT r.manual
WHERE r.state = 'fired'
