-- trim: forget completed jobs whose time is over, and archived ones beyond their age or count.
--
-- KEYS[1]  <base>   zset    id -> may run at, epoch ms
-- ARGV[1]  how long an archived job is kept, ms
-- ARGV[2]  how many archived jobs a queue keeps
-- Returns  how many were forgotten; at most 700 a call, so call again while it is not 0.
--@include clock
--@include archive
local now = clock()
local base = KEYS[1]
local completed = base .. ':completed'
local old = redis.call('ZRANGE', completed, '-inf', now, 'BYSCORE', 'LIMIT', 0, 500)
if #old > 0 then
  local results = {}
  for i, id in ipairs(old) do results[i] = 'arq:result:' .. id end
  redis.call('ZREM', completed, unpack(old))
  redis.call('DEL', unpack(results))
end
return #old + trim_archive(base, now, tonumber(ARGV[1]), tonumber(ARGV[2]))
