-- outbox_pushed: note that jobs of the outbox are in Redis.
--
-- $1  job_ids    text[]
-- $2  pushed_to  text    its life
UPDATE jobsd.outbox SET pushed_to = $2::text, held_until = NULL, problem = NULL WHERE job_id = ANY ($1::text[])
