-- insert_rejected: keep what the ledger refused; the same record delivered again is kept once.
--
-- $1  job_id  text[]
-- $2  raw     bytea[]
-- $3  cause   text[]
INSERT INTO jobsd.records_rejected (job_id, raw, cause)
SELECT job_id, raw, cause FROM unnest($1::text[], $2::bytea[], $3::text[]) AS sent (job_id, raw, cause)
ON CONFLICT DO NOTHING
