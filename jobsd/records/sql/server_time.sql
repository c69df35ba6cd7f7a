-- server_time: what time it is where the ledger is.
--
-- No parameters.
SELECT now()
