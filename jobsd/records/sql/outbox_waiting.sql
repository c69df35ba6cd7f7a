-- outbox_waiting: jobs of the outbox that are to be pushed, first those that fall due first; nobody else gets them now.
--
-- $1  pushed_to  text     the life of Redis that had them, '' for none
-- $2  most       integer
-- Whoever stops while it holds them loses them soon: the recorder must not wait for it.
WITH bounded AS MATERIALIZED (SELECT set_config('idle_in_transaction_session_timeout', '6s', true) AS done)
SELECT o.job_id, o.incarnation, o.queue, o.payload, o.due_at <= o.enqueued_at AS at_once, o.pushed_to <> '' AS again,
    (extract(epoch FROM o.due_at) * 1000)::bigint AS due_ms
FROM jobsd.outbox AS o
WHERE o.pushed_to = $1::text AND (o.held_until IS NULL OR o.held_until <= clock_timestamp())
    AND (SELECT done IS NOT NULL FROM bounded)
ORDER BY o.due_at, o.number LIMIT $2::integer FOR UPDATE OF o SKIP LOCKED
