-- outbox_examined: jobs of the outbox in the order of their ids, and what the ledger knows of each.
--
-- $1  after  text     the id before the first; '' to begin
-- $2  most   integer
SELECT o.job_id, o.incarnation, o.queue, o.pushed_to, o.problem,
    clock_timestamp() - o.enqueued_at > interval '1 minute' AND o.due_at < clock_timestamp() AS late,
    EXISTS (SELECT FROM jobsd.executions AS e
            WHERE e.job_id = o.job_id AND e.incarnation = o.incarnation
                AND e.transition IN ('completed', 'archived', 'removed')) AS ended,
    EXISTS (SELECT FROM jobsd.records_rejected AS r WHERE r.job_id = o.job_id) AS rejected
FROM jobsd.outbox AS o WHERE o.job_id > $1::text ORDER BY o.job_id LIMIT $2::integer
