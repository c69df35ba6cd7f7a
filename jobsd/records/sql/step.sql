-- step: a step of a job.
--
-- $1  job_id       text
-- $2  incarnation  text
-- $3  key          text
-- $4  token        text  of the run that it must be of; null: of any
SELECT token, result FROM jobsd.steps
WHERE job_id = $1::text AND incarnation = $2::text AND key = $3::text AND ($4::text IS NULL OR token = $4)
LIMIT 1
