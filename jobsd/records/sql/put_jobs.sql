-- put_jobs: put jobs into the outbox, and answer with what that tells, as a JSON array of texts.
--
-- $1 jobs text   a JSON array as jobsd.put_in_outbox reads it
--
-- In and out as texts: a connection may have its own ways with JSON, arrays and rows. CAST, since two colons are
-- something else to SQLAlchemy.
SELECT CAST(array_to_json(ARRAY(SELECT jobsd.put_in_outbox(CAST(CAST($1 AS text) AS json)))) AS text)
