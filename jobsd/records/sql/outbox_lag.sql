-- outbox_lag: how many jobs are in the outbox, how many of them Redis never had, since when, and what holds one of them up.
--
-- No parameters.
SELECT count(*) AS jobs, count(*) FILTER (WHERE pushed_to = '') AS unpushed,
    (1000 * extract(epoch FROM clock_timestamp() - min(enqueued_at) FILTER (WHERE pushed_to = '')))::bigint AS unpushed_age_ms,
    min(problem) AS problem
FROM jobsd.outbox
