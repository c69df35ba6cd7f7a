-- give_up_on_locks: until the transaction ends, wait for no lock longer than 2 s.
--
-- No parameters.
SET LOCAL lock_timeout = '2s'
