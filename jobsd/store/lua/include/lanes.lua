-- lanes: the lines in which jobs of a queue wait that have the same limits: a limit key, resources, or both.
--
-- What a job is limited by is the second field of its payload, and after it was claimed the end of its mark:
-- "k=<limit key>,r=<resource>,u=<digest>/<ms>,o=<digest>", each but r once at the most. Its lane is the part of k and r.
-- A lane that has jobs stands in <base>:turns by its turn, or in <base>:closed by the ms at which its limit opens; or by
-- 9e15, and then in <base>:behind:<limit> too, until a lease under that limit ends. Its jobs have the score LANED in
-- <base>, and their due time in the lane. The owner of a resource is the shard, that of a limit key the queue.
-- Needs the include wake.
local LANED = -8000000000000000

local function limits_of(payload)
  if not payload or string.byte(payload, 22) ~= 108 or string.sub(payload, 20, 25) ~= ',"l":"' then return nil end
  local stop = string.find(payload, '"', 26, true)
  return stop and string.sub(payload, 26, stop - 1)
end

local function limits_of_mark(mark)
  local sign = string.find(mark, '=', 1, true)
  return sign and string.sub(mark, sign - 1)
end

local function lane_of(limits)
  local others = string.find(limits, '[uo]=')
  if not others then return limits ~= '' and limits or nil end
  return others > 1 and string.sub(limits, 1, others - 2) or nil
end

local function each_limit(limits) return string.gmatch(limits, '[kr]=[^,]+') end
local function owner_of(limit, shard, base) return string.sub(limit, 1, 1) == 'r' and shard or base end

local function last_of(line) return tonumber(redis.call('ZRANGE', line, -1, -1, 'WITHSCORES')[2]) or 0 end
local function take_turn(base, lane) redis.call('ZADD', base .. ':turns', last_of(base .. ':turns') + 1, lane) end

-- Let jobs {due, id, …} wait in a lane. Their score in <base> is the caller's to set.
local function join_lane(base, lane, jobs)
  redis.call('ZADD', base .. ':lane:' .. lane, unpack(jobs))
  if not redis.call('ZSCORE', base .. ':closed', lane) and not redis.call('ZSCORE', base .. ':turns', lane) then
    take_turn(base, lane)
  end
end

-- Put a job back into its queue, or into the lane in which it is to wait.
local function put_back(base, id, due, limits, now)
  local lane = limits and tonumber(due) <= now and lane_of(limits)
  redis.call('ZADD', base, lane and LANED or due, id)
  if lane then join_lane(base, lane, {due, id}) end
end

local function open_lane(base, lane)
  if redis.call('ZREM', base .. ':closed', lane) == 0 then return end
  for limit in each_limit(lane) do redis.call('ZREM', base .. ':behind:' .. limit, lane) end
  take_turn(base, lane)
  wake(base)
end

-- A limit has room: open so many of the lanes behind it, those that have waited longest.
local function open_behind(base, limit, room)
  for _, lane in ipairs(redis.call('ZRANGE', base .. ':behind:' .. limit, 0, math.min(room, 1000) - 1)) do
    open_lane(base, lane)
  end
end

-- Take a waiting job out of its lane. A lane that had its turn, and has no job for it, leaves it to others.
local function leave_lane(base, lane, id)
  if redis.call('ZREM', base .. ':lane:' .. lane, id) == 0 or redis.call('EXISTS', base .. ':lane:' .. lane) == 1 then return end
  local had_turn = redis.call('ZREM', base .. ':turns', lane) == 1
  redis.call('ZREM', base .. ':closed', lane)
  for limit in each_limit(lane) do
    redis.call('ZREM', base .. ':behind:' .. limit, lane)
    if had_turn then open_behind(base, limit, 1) end
  end
end

-- Leases have ended, limits text -> how many. Of a resource every queue opens as many lanes: in some nobody may come.
local function let_go(shard, base, ends)
  local ended = {}
  for limits, leases in pairs(ends) do
    for limit in each_limit(limits) do ended[limit] = (ended[limit] or 0) + leases end
  end
  for limit, leases in pairs(ended) do
    local owner = owner_of(limit, shard, base)
    if redis.call('HINCRBY', owner .. ':held', limit, -leases) <= 0 then redis.call('HDEL', owner .. ':held', limit) end
    for _, queue in ipairs(owner == base and {base} or redis.call('SMEMBERS', shard .. ':queues')) do
      open_behind(queue, limit, leases)
    end
  end
end
