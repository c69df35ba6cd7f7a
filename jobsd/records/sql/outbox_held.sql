-- outbox_held: note that jobs of the outbox cannot be pushed now, and why; they are tried again later.
--
-- $1  job_ids   text[]
-- $2  problems  text[]
-- $3  later_s   integer  seconds
UPDATE jobsd.outbox AS o
SET held_until = clock_timestamp() + $3::integer * interval '1 second', problem = held.problem
FROM unnest($1::text[], $2::text[]) AS held (job_id, problem)
WHERE o.job_id = held.job_id
