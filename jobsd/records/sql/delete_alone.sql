-- delete_alone: be the only one who deletes until the transaction ends; false: another one does.
--
-- No parameters.
-- The plan is one for the values given: it names a partition, and for most outcomes the index of the few.
SELECT pg_try_advisory_xact_lock(hashtextextended('jobsd.retention', 0)) AS alone,
       set_config('plan_cache_mode', 'force_custom_plan', true)
