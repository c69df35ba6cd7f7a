-- wake: hand on a wake-up that was taken by a worker that has no use for it.
--
-- KEYS[1]  <base>   zset    id -> may run at, epoch ms
-- Returns  nothing.
--@include wake
wake(KEYS[1])
