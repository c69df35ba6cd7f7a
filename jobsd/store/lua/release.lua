-- release: give parked jobs back to their queue, at their original due time.
--
-- KEYS[1]  <base>    zset    id -> may run at, epoch ms
-- ARGV     reasons
-- Returns  how many were released; at most 500 a call, so call again while it is not 0.
--@include wake
local base, released = KEYS[1], 0
for i = 1, #ARGV do
  local parked = base .. ':parked:' .. ARGV[i]
  local jobs = redis.call('ZRANGE', parked, 0, 499 - released, 'WITHSCORES')
  local back, ids = {}, {}
  for j = 1, #jobs, 2 do
    back[j], back[j + 1] = jobs[j + 1], jobs[j]
    ids[#ids + 1] = jobs[j]
  end
  if #ids > 0 then
    redis.call('ZADD', base, 'XX', unpack(back))
    redis.call('ZREM', parked, unpack(ids))
    released = released + #ids
    wake(base)
  end
  if released >= 500 then break end
end
return released
