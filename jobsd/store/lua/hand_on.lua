-- hand_on: let another worker be there instead of one that has no free slot, or takes no more jobs.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2…]  <base>    zset    id -> may run at, epoch ms
-- ARGV[1]   worker
-- ARGV[2]   the queue (1 is KEYS[2]) whose wake-up it has taken, or 0
-- Returns   nothing.
--@include room
--@include wake
--@include watch
make_room(KEYS[1])
local watches = {}
for q = 2, #KEYS do watches[q - 1] = 'watch:' .. KEYS[q] end
watches = redis.call('HMGET', KEYS[1] .. ':state', unpack(watches))
for q = 2, #KEYS do
  local watched = leave_watch(KEYS[1], KEYS[q], ARGV[1], watches[q - 1])
  if q - 1 == tonumber(ARGV[2]) or (watched and head_of(KEYS[q])) then wake(KEYS[q]) end
end
