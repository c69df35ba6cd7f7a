-- insert_step: remember a step; or take its key, first in the transaction that is to commit with it.
--
-- $1  job_id       text
-- $2  incarnation  text
-- $3  key          text
-- $4  token        text
-- $5  position     integer
-- $6  result       text     null: kept later, in the same transaction
-- Returns the token; no row: another run of the job was first. See insert_effect.
WITH bounded AS (
    SELECT set_config('idle_in_transaction_session_timeout', '60s', true)
)
INSERT INTO jobsd.steps (job_id, incarnation, key, token, position, result)
SELECT $1::text, $2::text, $3::text, $4::text, $5::integer, $6::text FROM bounded
ON CONFLICT DO NOTHING
RETURNING token
