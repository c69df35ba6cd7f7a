-- keep_step: keep the result with a step, in its transaction.
--
-- $1  job_id       text
-- $2  incarnation  text
-- $3  key          text
-- $4  token        text
-- $5  result       text
-- Returns the token; no row: the transaction has been rolled back.
UPDATE jobsd.steps SET result = $5::text
WHERE job_id = $1::text AND incarnation = $2::text AND key = $3::text AND token = $4::text
RETURNING token
