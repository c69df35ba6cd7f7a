-- schedules_forget: delete schedules that are in the version in which they were read.
--
-- $1  names     text[]
-- $2  versions  bigint[]
DELETE FROM jobsd.schedules AS e USING unnest($1::text[], $2::bigint[]) AS gone (name, version)
WHERE e.name = gone.name AND e.version = gone.version
