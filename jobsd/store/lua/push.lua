-- push: store jobs of the outbox that Redis does not have, in any form.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2…]  <base>    zset    id -> may run at, epoch ms
-- ARGV[1]   epoch     what <shard>:epoch was when the caller asked for it
-- ARGV[2]   asked_at  the server's time then, ms: what has ended is remembered for longer than this may be ago
-- ARGV[3…]  queue (index into KEYS from 2 is 1), id, due (epoch ms), flags, payload; repeated, at most 500 jobs
--           flags holds n: it is to run at once, whatever the other server's clock says; a: it was pushed before, and so
--           may have run, of which nothing is known here
-- Returns   a letter for each: u nobody serves its queue, and daemons refuse those; s stored; t it was there; e it has ended; w another job has its id; k another job has its
--           unique key, and it was never pushed before. Error EMPTIED: it is another epoch; LATE: it was asked for too long ago. Nothing is stored.
--
-- <shard>:outbox has "<id> <incarnation>" of what was pushed: where it is not, this Redis has no trace of the job.
--@include clock
--@include wake
--@include lanes
--@include watch
--@include taking
local now = clock()
local shard = KEYS[1]
if redis.call('GET', shard .. ':epoch') ~= ARGV[1] then return redis.error_reply('EMPTIED') end
if now - tonumber(ARGV[2]) > 20000 then return redis.error_reply('LATE') end
for q = 2, #KEYS do redis.call('ZCARD', KEYS[q]) end  -- fails, before anything is written, on a key that is no queue

local refuses = redis.call('HGET', shard .. ':state', 'unknown') == 'refuse'

-- A result that an earlier job of this id has left gives way.
local function drop_result(id, result)
  local queue = string.match(result, '.*"q":"([^"]*)"')
  if queue then
    local base = string.find(queue, ':', 1, true) and queue or shard .. queue
    redis.call('ZREM', base .. ':completed', id)
  end
  redis.call('DEL', 'arq:result:' .. id)
end

local answers, ruled, taken, fresh, members, sides = {}, {}, {}, {}, {}, {}
for i = 3, #ARGV, 5 do
  local n, base, id = #answers + 1, KEYS[tonumber(ARGV[i]) + 1], ARGV[i + 1]
  local due, flags, payload = tonumber(ARGV[i + 2]), ARGV[i + 3], ARGV[i + 4]
  local start = string.sub(payload, 1, 19)  -- {"i":"<incarnation>"
  local member = id .. ' ' .. string.sub(start, 7, 18)
  local stored = redis.call('GET', 'arq:job:' .. id)
  local result = not stored and redis.call('GET', 'arq:result:' .. id)
  if redis.call('ZSCORE', shard .. ':outbox', member) then
    answers[n] = 't'
  elseif stored then
    answers[n] = string.sub(stored, 1, 19) == start and 't' or 'w'
    if answers[n] == 't' then redis.call('ZADD', shard .. ':outbox', now + 120000, member) end
  elseif taken[id] then
    answers[n] = 'w'
  elseif refuses and redis.call('SISMEMBER', shard .. ':queues', base) == 0 then
    answers[n] = 'u'
  elseif (result and string.sub(result, 1, 19) == start)
      or string.sub(redis.call('HGET', base .. ':dead:' .. id, 'payload') or '', 1, 19) == start then
    answers[n] = 'e'
  else
    if result then drop_result(id, result) end
    if string.find(flags, 'n', 1, true) then due = math.min(due, now) end
    local list = fresh[base]
    if not list then list = {}; fresh[base] = list end
    members[n], sides[n] = member, string.find(flags, 'a', 1, true) and {base, id}
    taken[id] = true
    if limits_of(payload) then
      answers[n] = '1'
      taken[id] = nil
      ruled[#ruled + 1] = {n = n, base = base, id = id, due = due, rule = '', payload = payload}
    else
      answers[n] = 's'
      redis.call('SET', 'arq:job:' .. id, payload)
      redis.call('ZADD', base, due, id)
      list[#list + 1], list[#list + 2] = due, id
    end
  end
end
if #ruled > 0 then
  take_in(shard, ruled, answers, taken, fresh, now)
  for _, job in ipairs(ruled) do
    -- One that was pushed before is no duplicate: it waits until the key is free.
    answers[job.n] = answers[job.n] == '1' and 's' or answers[job.n] == '2' and not sides[job.n] and 'k' or 'w'
  end
end
for n, member in pairs(members) do
  if answers[n] == 's' then
    redis.call('ZADD', shard .. ':outbox', now + 120000, member)
    if sides[n] then redis.call('HSET', sides[n][1] .. ':side', sides[n][2], '{"n":1,"d":1}') end
  end
end
for base, list in pairs(fresh) do
  redis.call('SADD', shard .. ':queues', base)
  local soonest = math.huge
  for i = 1, #list, 2 do soonest = math.min(soonest, list[i]) end
  if soonest < math.huge and (soonest <= now or is_news(shard, base, soonest, now)) then wake(base) end
end
return table.concat(answers)
