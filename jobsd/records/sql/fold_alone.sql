-- fold_alone: be the only one who folds until the transaction ends; false: another one does.
--
-- No parameters.
SELECT pg_try_advisory_xact_lock(hashtextextended('jobsd.fold', 0))
