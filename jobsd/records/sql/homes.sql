-- homes: the queue of each of these jobs, from the outbox, or from the last execution that did not end it.
--
-- $1  job_ids  text[]
SELECT asked.job_id, coalesce(o.incarnation, e.incarnation) AS incarnation, coalesce(o.queue, e.queue) AS queue,
    (extract(epoch FROM coalesce(o.due_at, e.scheduled_for)) * 1000)::bigint AS due_ms, o.job_id IS NOT NULL AS in_outbox
FROM unnest($1::text[]) AS asked (job_id)
LEFT JOIN jobsd.outbox AS o ON o.job_id = asked.job_id
LEFT JOIN LATERAL (
    SELECT x.incarnation, x.queue, x.scheduled_for, x.transition FROM jobsd.executions AS x
    WHERE x.job_id = asked.job_id ORDER BY x.started_at DESC LIMIT 1
) AS e ON e.transition IN ('retry', 'scheduled', 'requeued')
WHERE o.job_id IS NOT NULL OR e.queue IS NOT NULL
