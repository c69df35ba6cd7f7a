-- begin_by_itself: nothing; after it one sees whether a connection begins its transactions by itself.
--
-- No parameters.
SELECT 1
