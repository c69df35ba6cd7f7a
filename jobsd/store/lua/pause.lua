-- pause: let a queue hand out no jobs, or let it hand them out again.
--
-- It holds from the next claim on; what runs goes on, and dead workers' jobs are still taken back.
--
-- KEYS[1]  <base>   zset    id -> may run at, epoch ms
-- KEYS[2]  <shard>  prefix
-- ARGV[1]  '1' to pause, '0' to resume
-- Returns  1, or 0 if it was so already.
--@include clock
--@include room
--@include wake
make_room(KEYS[2])
local field = 'paused:' .. KEYS[1]
if ARGV[1] == '1' then
  redis.call('HDEL', KEYS[2] .. ':state', 'watch:' .. KEYS[1])  -- nobody waits for its jobs
  return redis.call('HSETNX', KEYS[2] .. ':state', field, clock())
end
local was = redis.call('HDEL', KEYS[2] .. ':state', field)
if was == 1 then wake(KEYS[1]) end
return was
