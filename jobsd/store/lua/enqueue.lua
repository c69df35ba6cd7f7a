-- enqueue: store jobs, each at once or at its time. One that exists already is left as it is.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2…]  <base>    zset    id -> may run at, epoch ms
-- ARGV      queue (index into KEYS from 2 is 1), id, when, payload; repeated, at most 1,000 jobs
--           when: '' now, '+500' in 500 ms by the server's clock, '1763…' epoch ms
--           a payload begins with its incarnation, `{"i":"0123456789ab"`; so does a result
-- Returns   one number a job: 1 stored (also by an earlier copy of this call),
--           0 another job with this id waits, runs or is finished.
--@include clock
--@include wake
local now = clock()
local shard = KEYS[1]
local answers, stored, members, added, fresh = {}, {}, {}, {}, {}

local function same_incarnation(id, payload)
  local have = redis.call('GET', 'arq:job:' .. id) or redis.call('GET', 'arq:result:' .. id)
  return have and string.sub(have, 1, 19) == string.sub(payload, 1, 19)
end

for i = 1, #ARGV, 4 do
  local id = ARGV[i + 1]
  local job = 'arq:job:' .. id
  if fresh[id] or redis.call('EXISTS', job, 'arq:result:' .. id) > 0 then
    answers[#answers + 1] = not fresh[id] and same_incarnation(id, ARGV[i + 3]) and 1 or 0
  else
    fresh[id] = true
    answers[#answers + 1] = 1
    local when = ARGV[i + 2]
    local due = now
    if string.sub(when, 1, 1) == '+' then due = now + tonumber(when) elseif when ~= '' then due = tonumber(when) end
    local q = tonumber(ARGV[i]) + 1
    local list = members[q]
    if not list then list = {}; members[q] = list end
    list[#list + 1] = due
    list[#list + 1] = id
    stored[#stored + 1] = job
    stored[#stored + 1] = ARGV[i + 3]
    if due <= now then added[q] = true end
  end
end
if #stored == 0 then return answers end
for q in pairs(members) do redis.call('ZCARD', KEYS[q]) end  -- fails, before anything is written, on a key that is no queue
redis.call('MSET', unpack(stored))
for q, list in pairs(members) do
  local base = KEYS[q]
  redis.call('ZADD', base, unpack(list))
  redis.call('SADD', shard .. ':queues', base)
  -- A delayed job wakes somebody only when it is the next one due: its time must then be known.
  if added[q] or fresh[redis.call('ZRANGE', base, 0, 0)[1]] then wake(base) end
end
return answers
