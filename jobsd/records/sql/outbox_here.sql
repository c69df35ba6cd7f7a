-- outbox_here: which of these jobs are in the outbox.
--
-- $1  job_ids       text[]
-- $2  incarnations  text[]
SELECT o.job_id, o.incarnation
FROM unnest($1::text[], $2::text[]) AS asked (job_id, incarnation)
JOIN jobsd.outbox AS o ON o.job_id = asked.job_id AND o.incarnation = asked.incarnation
