-- insert_effect: take the key of a job's effect, first in the transaction that is to commit with it.
--
-- $1  job_id       text
-- $2  incarnation  text
-- $3  token        text
-- $4  task         text
-- Returns the token; no row: another run of the job has committed. While one has not ended yet, this waits for it.
-- No conflict target: whichever constraint there is judges. A process that is stopped inside loses its session after a
-- minute, and with it the key.
WITH bounded AS (
    SELECT set_config('idle_in_transaction_session_timeout', '60s', true)
)
INSERT INTO jobsd.effects (job_id, incarnation, token, task)
SELECT $1::text, $2::text, $3::text, $4::text FROM bounded
ON CONFLICT DO NOTHING
RETURNING token
