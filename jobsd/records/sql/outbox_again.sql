-- outbox_again: let jobs of the outbox that Redis does not have be pushed again, as jobs that may have run.
--
-- $1  job_ids       text[]
-- $2  incarnations  text[]
-- No Redis ever has a life of that name: to the pusher they are jobs of another life.
UPDATE jobsd.outbox AS o SET pushed_to = 'none', held_until = NULL, problem = NULL
FROM unnest($1::text[], $2::text[]) AS lost (job_id, incarnation)
WHERE o.job_id = lost.job_id AND o.incarnation = lost.incarnation
