-- enqueue: store jobs, each at once or at its time. One whose id is taken is left as it is.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2…]  <base>    zset    id -> may run at, epoch ms
-- ARGV[1]   sender    a client sends one call after the other under each of its names
-- ARGV[2]   number    rising; the same number again is answered the same and changes nothing, for a minute
-- ARGV[3…]  queue (index into KEYS from 2 is 1), id, when, payload; repeated, at most 1,000 jobs
--           when: '' now, '+500' in 500 ms by the server's clock, '1763…' epoch ms; and for a job that is limited or
--                 whose key may be taken, behind a space, its rule: see taking
--           a payload begins with its incarnation, `{"i":"0123456789ab"`
-- Returns   a digit for each: 1 stored, 0 another job with this id waits, runs or is finished; 2 another job holds its
--           key, 3 a waiting job has taken it in. For each 2 and 3, in order, follow <base> and id of that job.
--           Error UNKNOWNQUEUE <base>: nobody serves such a queue, and the daemons refuse those. Nothing is stored.
--@include clock
--@include wake
--@include lanes
--@include watch
--@include taking
local now = clock()
local shard, sender, number = KEYS[1], KEYS[1] .. ':sender:' .. ARGV[1], tonumber(ARGV[2])
local last, answered = string.match(redis.call('GET', sender) or '', '^(%d+):(.*)$')
last = tonumber(last) or 0
if number == last then return answered end
if number < last then return '' end  -- a delayed copy of an answered call: nobody waits for it

local function due_of(when)
  if when == '' then return now end
  return string.sub(when, 1, 1) == '+' and now + tonumber(when) or tonumber(when)
end

local answers, stored, members, ruled, taken = {}, {}, {}, {}, {}
for i = 3, #ARGV, 4 do
  local id, when = ARGV[i + 1], ARGV[i + 2]
  local job, n, rule = 'arq:job:' .. id, #answers + 1, nil
  if when ~= '' then
    local space = string.find(when, ' ', 1, true)
    if space then rule, when = string.sub(when, space + 1), string.sub(when, 1, space - 1) end
  end
  if taken[id] or redis.call('EXISTS', job, 'arq:result:' .. id) > 0 then
    answers[n] = '0'
  else
    local q = tonumber(ARGV[i]) + 1
    local list = members[q]
    if not list then list = {}; members[q] = list end
    answers[n] = '1'
    if rule then
      ruled[#ruled + 1] = {n = n, base = KEYS[q], id = id, due = due_of(when), rule = rule, payload = ARGV[i + 3]}
    else
      taken[id] = true
      list[#list + 1] = due_of(when)
      list[#list + 1] = id
      stored[#stored + 1] = job
      stored[#stored + 1] = ARGV[i + 3]
    end
  end
end

local unheard = {}
for q in pairs(members) do
  redis.call('ZCARD', KEYS[q])  -- fails, before anything is written, on a key that is no queue
  if redis.call('SISMEMBER', shard .. ':queues', KEYS[q]) == 0 then
    if redis.call('HGET', shard .. ':state', 'unknown') == 'refuse' then
      return redis.error_reply('UNKNOWNQUEUE ' .. KEYS[q])
    end
    unheard[#unheard + 1] = KEYS[q]
  end
end
redis.call('SET', sender, ARGV[2] .. ':' .. table.concat(answers), 'PX', 60000)
if #unheard > 0 then redis.call('SADD', shard .. ':queues', unpack(unheard)) end
if #stored > 0 then redis.call('MSET', unpack(stored)) end
local fresh = {}
for q, list in pairs(members) do
  local base = KEYS[q]
  if #list > 0 then redis.call('ZADD', base, unpack(list)) end
  fresh[base] = list
end
local answer = table.concat(answers)
if #ruled > 0 then
  answer = take_in(shard, ruled, answers, taken, fresh, now)
  redis.call('SET', sender, ARGV[2] .. ':' .. answer, 'PX', 60000)
end
for base, list in pairs(fresh) do
  local soonest = math.huge
  for i = 1, #list, 2 do soonest = math.min(soonest, list[i]) end
  if soonest < math.huge and (soonest <= now or is_news(shard, base, soonest, now)) then
    wake(base)
  end
end
return answer
