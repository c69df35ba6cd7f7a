-- schedules_standing: all schedules, each with a text that is another after it was defined otherwise, paused or resumed.
--
-- No parameters.
SELECT name, changed::text FROM jobsd.schedules
