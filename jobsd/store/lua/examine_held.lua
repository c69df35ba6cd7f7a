-- examine_held: whether the leases counted under limit keys or resources are those that there are; set right at once.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2…]  <base>    zset    id -> may run at, epoch ms; one for its limit keys, all of the shard for its resources
-- ARGV[1]   '1' to mend
-- ARGV[2]   'k' for limit keys, 'r' for resources
-- Returns   limit, counted, leases, 'mended' or 'can' (be mended); repeated. Nothing where more than 5,000 jobs run.
--@include room
--@include wake
--@include lanes
local shard, mend = KEYS[1], ARGV[1] == '1'
local owner = ARGV[2] == 'r' and shard or KEYS[2]
local MOST = 5000
local answer, leases, running = {}, {}, 0
for q = 2, #KEYS do running = running + redis.call('ZCARD', KEYS[q] .. ':active') end
if running > MOST then return false end
if mend then make_room(shard) end

for q = 2, #KEYS do
  local active = redis.call('ZRANGE', KEYS[q] .. ':active', 0, -1)
  for from = 1, #active, 200 do
    local keys = {}
    for i = from, math.min(from + 199, #active) do keys[#keys + 1] = 'arq:in-progress:' .. active[i] end
    for i, mark in ipairs(redis.call('MGET', unpack(keys))) do
      -- Of one whose mark is gone recover gives back what its payload says.
      local limits
      if mark then limits = limits_of_mark(mark) else
        limits = limits_of(redis.call('GETRANGE', 'arq:job:' .. active[from + i - 1], 0, 4095))
      end
      for limit in each_limit(limits or '') do
        if string.sub(limit, 1, 1) == ARGV[2] then leases[limit] = (leases[limit] or 0) + 1 end
      end
    end
  end
end

local counted = redis.call('HGETALL', owner .. ':held')
local noted = {}
for i = 1, #counted, 2 do
  noted[counted[i]] = tonumber(counted[i + 1]) or 0
  leases[counted[i]] = leases[counted[i]] or 0
end
for limit, there_are in pairs(leases) do
  local were = noted[limit] or 0
  if were ~= there_are then
    if mend then
      if there_are > 0 then redis.call('HSET', owner .. ':held', limit, there_are)
      else redis.call('HDEL', owner .. ':held', limit) end
      for q = 2, were > there_are and #KEYS or 1 do open_behind(KEYS[q], limit, math.min(were - there_are, 1000)) end
    end
    for _, part in ipairs({limit, were, there_are, mend and 'mended' or 'can'}) do answer[#answer + 1] = part end
  end
end
return answer
