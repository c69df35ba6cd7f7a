-- sleep: begin to sleep, unless that was done before.
--
-- $1  job_id       text
-- $2  incarnation  text
-- $3  key          text
-- $4  token        text
-- $5  position     integer
-- $6  delay_ms     bigint
-- Returns how many ms are left, by the server's clock; null: another run has just begun to, so ask again.
WITH begun AS (
    INSERT INTO jobsd.steps (job_id, incarnation, key, token, position, result, at)
    SELECT $1::text, $2::text, $3::text, $4::text, $5::integer,
        ((extract(epoch FROM clock_timestamp()) * 1000)::bigint + $6::bigint)::text,
        clock_timestamp() + $6::bigint * interval '1 millisecond'
    ON CONFLICT DO NOTHING
    RETURNING result
), known AS (
    SELECT result FROM begun
    UNION ALL
    SELECT result FROM jobsd.steps WHERE job_id = $1::text AND incarnation = $2::text AND key = $3::text
)
SELECT (SELECT result FROM known LIMIT 1)::bigint - (extract(epoch FROM clock_timestamp()) * 1000)::bigint
