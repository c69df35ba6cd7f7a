-- release: give parked jobs back to their queues, at their original due time.
--
-- Nobody is woken: the caller claims at once, before a worker that would only park them again.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2…]  <base>    zset    id -> may run at, epoch ms
-- ARGV[1]   most, at the most 500
-- ARGV[2…]  reasons
-- Returns   how many were released.
--@include room
local most, released = math.min(tonumber(ARGV[1]), 500), 0
make_room(KEYS[1])
for q = 2, #KEYS do
  for i = 2, #ARGV do
    if released >= most then return released end
    local base = KEYS[q]
    local parked = base .. ':parked:' .. ARGV[i]
    local jobs = redis.call('ZRANGE', parked, 0, most - released - 1, 'WITHSCORES')
    local back, ids = {}, {}
    for j = 1, #jobs, 2 do ids[#ids + 1] = jobs[j] end
    if #ids > 0 then
      local scores = redis.call('ZMSCORE', base, unpack(ids))
      for j, id in ipairs(ids) do
        -- One that arq's abort made due meanwhile is no longer parked, nor is a later job of its id.
        if tonumber(scores[j] or 0) < -85e14 then  -- an arq worker may have added to it
          back[#back + 1], back[#back + 2] = jobs[2 * j], id
        end
      end
      if #back > 0 then redis.call('ZADD', base, unpack(back)) end
      redis.call('ZREM', parked, unpack(ids))
      released = released + #ids
    end
  end
end
return released
