-- outbox_lives: the lives of Redis to which jobs of the outbox were pushed; '' is that of those that never were.
--
-- No parameters.
-- Goes from one to the next by the index: there are few, and jobs may be many.
WITH RECURSIVE found AS (
    (SELECT pushed_to FROM jobsd.outbox ORDER BY pushed_to LIMIT 1)
    UNION ALL
    SELECT (SELECT o.pushed_to FROM jobsd.outbox AS o WHERE o.pushed_to > found.pushed_to ORDER BY o.pushed_to LIMIT 1)
    FROM found WHERE found.pushed_to IS NOT NULL
)
SELECT pushed_to FROM found WHERE pushed_to IS NOT NULL
