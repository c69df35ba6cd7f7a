-- enqueue: store jobs, each at once or at its time. One whose id is taken is left as it is.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2…]  <base>    zset    id -> may run at, epoch ms
-- ARGV[1]   sender    a client sends one call after the other under each of its names
-- ARGV[2]   number    rising; the same number again is answered the same and changes nothing, for a minute
-- ARGV[3…]  queue (index into KEYS from 2 is 1), id, when, payload; repeated, at most 1,000 jobs
--           when: '' now, '+500' in 500 ms by the server's clock, '1763…' epoch ms
--           a payload begins with its incarnation, `{"i":"0123456789ab"`
-- Returns   a digit for each: 1 stored, 0 another job with this id waits, runs or is finished.
--           Error UNKNOWNQUEUE <base>: nobody serves such a queue, and the daemons refuse those. Nothing is stored.
--@include clock
--@include wake
local now = clock()
local shard, sender, number = KEYS[1], KEYS[1] .. ':sender:' .. ARGV[1], tonumber(ARGV[2])
local last, answered = string.match(redis.call('GET', sender) or '', '^(%d+):(.*)$')
last = tonumber(last) or 0
if number == last then return answered end
if number < last then return '' end  -- a delayed copy of an answered call: nobody waits for it

local answers, stored, members, added, fresh = {}, {}, {}, {}, {}
for i = 3, #ARGV, 4 do
  local id = ARGV[i + 1]
  local job = 'arq:job:' .. id
  if fresh[id] or redis.call('EXISTS', job, 'arq:result:' .. id) > 0 then
    answers[#answers + 1] = '0'
  else
    fresh[id] = true
    answers[#answers + 1] = '1'
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
local answer = table.concat(answers)
redis.call('SET', sender, ARGV[2] .. ':' .. answer, 'PX', 60000)
if #stored == 0 then return answer end
if #unheard > 0 then redis.call('SADD', shard .. ':queues', unpack(unheard)) end
redis.call('MSET', unpack(stored))
for q, list in pairs(members) do
  local base = KEYS[q]
  redis.call('ZADD', base, unpack(list))
  -- A delayed job wakes somebody when it is the next one due, or when nobody watches: its time must be known.
  if added[q] or fresh[redis.call('ZRANGE', base, 0, 0)[1]] or redis.call('HEXISTS', shard .. ':state', 'watch:' .. base) == 0 then
    wake(base)
  end
end
return answer
