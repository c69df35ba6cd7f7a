-- recorded: how many executions the ledger has that started in or after an hour, and how many records it refused ever.
--
-- $1  since  timestamptz  the beginning of the hour
SELECT
    (SELECT coalesce(sum(runs), 0)::bigint
     FROM (SELECT runs FROM jobsd.statistics WHERE span = 'hour' AND at >= $1::timestamptz
           UNION ALL
           SELECT runs FROM jobsd.statistics_changes WHERE span = 'hour' AND at >= $1::timestamptz) AS counted) AS runs,
    (SELECT count(*) FROM jobsd.records_rejected) AS rejected
