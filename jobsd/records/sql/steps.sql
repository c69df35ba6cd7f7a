-- steps: all that a job remembers, and what time it is.
--
-- $1  job_id       text
-- $2  incarnation  text
SELECT key, position, result, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms
FROM jobsd.steps
WHERE job_id = $1::text AND incarnation = $2::text
