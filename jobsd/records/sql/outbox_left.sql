-- outbox_left: which of these jobs are in the outbox, once those are deleted that the ledger knows to have ended.
--
-- $1  job_ids       text[]
-- $2  incarnations  text[]
-- A recorder of a version without an outbox writes the end of a job, and leaves it there.
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[]) AS asked (job_id, incarnation)
), ended AS (
    DELETE FROM jobsd.outbox AS o USING asked AS a
    WHERE o.job_id = a.job_id AND o.incarnation = a.incarnation AND EXISTS (
        SELECT FROM jobsd.executions AS e
        WHERE e.job_id = a.job_id AND e.incarnation = a.incarnation
            AND e.transition IN ('completed', 'archived', 'removed'))
    RETURNING o.job_id, o.incarnation
)
SELECT job_id, incarnation FROM asked JOIN jobsd.outbox USING (job_id, incarnation)
EXCEPT SELECT job_id, incarnation FROM ended
