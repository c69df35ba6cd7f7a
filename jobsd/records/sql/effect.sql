-- effect: the effect of a job.
--
-- $1  job_id       text
-- $2  incarnation  text
-- $3  token        text  of the run that it must be of; null: of any
SELECT token, result FROM jobsd.effects
WHERE job_id = $1::text AND incarnation = $2::text AND ($3::text IS NULL OR token = $3)
LIMIT 1
