-- keep_effect: keep the result with a job's effect, in its transaction.
--
-- $1  job_id       text
-- $2  incarnation  text
-- $3  token        text
-- $4  result       text
-- Returns the token; no row: the transaction has been rolled back.
UPDATE jobsd.effects SET result = $4::text
WHERE job_id = $1::text AND incarnation = $2::text AND token = $3::text
RETURNING token
