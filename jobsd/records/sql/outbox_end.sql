-- outbox_end: delete jobs from the outbox that have ended, or are not to be.
--
-- $1  job_ids       text[]
-- $2  incarnations  text[]
DELETE FROM jobsd.outbox AS o USING unnest($1::text[], $2::text[]) AS ended (job_id, incarnation)
WHERE o.job_id = ended.job_id AND o.incarnation = ended.incarnation
