-- trim: forget what a queue keeps no longer: completed and archived jobs whose time is over, or that are too many.
--
-- KEYS[1]  <shard>  prefix
-- KEYS[2]  <base>   zset    id -> may run at, epoch ms
-- ARGV[1]  how long an archived job is kept, ms; this and the next where no worker ever said what the queue keeps
-- ARGV[2]  how many archived jobs it keeps
-- Returns  how many were forgotten; at most 700 a call, so call again while it is not 0.
--@include clock
--@include keep
local now = clock()
local shard, base = KEYS[1], KEYS[2]
local said = redis.call('HGET', shard .. ':state', 'keep:' .. base)
local completed_keep, archived_ms, archived_keep = read_keep(said, math.huge, ARGV[1], ARGV[2])
local completed = base .. ':completed'
local old = over_keep(completed, now, completed_keep, 500)
if #old > 0 then
  local results = {}
  for i, id in ipairs(old) do results[i] = 'arq:result:' .. id end
  redis.call('ZREM', completed, unpack(old))
  redis.call('DEL', unpack(results))
end
return #old + trim_archived(base, now, archived_ms, archived_keep)
