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
local most, released, looked = math.min(tonumber(ARGV[1]), 500), 0, 0
make_room(KEYS[1])
for q = 2, #KEYS do
  for i = 2, #ARGV do
    local base = KEYS[q]
    local parked = base .. ':parked:' .. ARGV[i]
    -- Those that are parked no longer take nobody's place: one that arq's abort made due meanwhile, one that was
    -- cancelled, a later job of its id.
    while released < most and looked < 1000 do
      local jobs = redis.call('ZRANGE', parked, 0, most - released - 1, 'WITHSCORES')
      if #jobs == 0 then break end
      local back, ids = {}, {}
      for j = 1, #jobs, 2 do ids[#ids + 1] = jobs[j] end
      looked = looked + #ids
      local scores = redis.call('ZMSCORE', base, unpack(ids))
      for j, id in ipairs(ids) do
        if tonumber(scores[j] or 0) < -85e14 then  -- an arq worker may have added to it
          back[#back + 1], back[#back + 2] = jobs[2 * j], id
        end
      end
      if #back > 0 then redis.call('ZADD', base, unpack(back)) end
      redis.call('ZREM', parked, unpack(ids))
      released = released + #back / 2
    end
  end
end
return released
