-- cancel: let a job run no more. One that waits is archived at once; the worker of one that runs is told.
--
-- KEYS[1]  <base>   zset    id -> may run at, epoch ms
-- KEYS[2]  <shard>  prefix
-- ARGV[1]  id
-- ARGV[2]  name of the queue
-- ARGV[3]  '1' if records are streamed, where anybody ever read one
-- Returns  'cancelled'; 'requested', 'delivered' or 'resisting' while it runs; 'ended'; or 'unknown'.
--@include clock
--@include room
--@include wake
--@include archive
--@include side
--@include lanes
--@include unique
--@include cancelling
local now = clock()
local base, shard, id = KEYS[1], KEYS[2], ARGV[1]
make_room(shard)
local job, mark = 'arq:job:' .. id, redis.call('GET', 'arq:in-progress:' .. id)
local score = tonumber(redis.call('ZSCORE', base, id))
if not score then
  if redis.call('EXISTS', 'arq:result:' .. id, base .. ':dead:' .. id) > 0 then return 'ended' end
  return 'unknown'
end
if redis.call('ZSCORE', base .. ':active', id) then
  mark = mark or ''  -- somebody deleted it: recover sees what was asked
  local asked = redis.call('HGET', shard .. ':cancels', id)
  if asked then return string.match(asked, '^%a+') end
  redis.call('HSET', shard .. ':cancels', id, 'requested ' .. mark)
  local told = shard .. ':cancel:' .. (string.match(mark, '^[^:]+') or '')
  if redis.call('LLEN', told) == 0 then redis.call('RPUSH', told, '1') end
  redis.call('PEXPIRE', told, 3600000)
  return 'requested'
end

if mark and redis.call('PTTL', 'arq:in-progress:' .. id) > 0 then
  redis.call('ZADD', 'arq:abort', now, id)  -- another system runs it: that is how arq's workers are asked
  return 'requested'
end

local payload = redis.call('GET', job)
local limits = limits_of(payload) or ''
local lane = lane_of(limits)
local due = score > -7e15 and math.max(0, math.min(score, 9e15)) or now
if lane then
  if score < -7e15 then due = tonumber(redis.call('ZSCORE', base .. ':lane:' .. lane, id)) or due end
  leave_lane(base, lane, id)  -- also where arq's abort has made it due
end
if score < -85e14 then
  local read, found = pcall(cjson.decode, payload or '')
  local parked = base .. ':parked:task:' .. (read and type(found) == 'table' and tostring(found.f) or '')
  due = tonumber(redis.call('ZSCORE', parked, id)) or now
  redis.call('ZREM', parked, id)
end
redis.call('ZREM', base, id)
redis.call('ZREM', base .. ':retry', id)
local text = redis.call('HGET', base .. ':side', id)
local records = ARGV[3] == '1' and redis.call('EXISTS', shard .. ':records') == 1 and '1' or '0'
local how = {shard = shard, records = records, name = ARGV[2]}
cancel_unrun(base, how, id, {payload = payload, side = text and read_side(text) or {}, due = math.floor(due), limits = limits}, now)
return 'cancelled'
