-- claim: lease due jobs to one worker, from queues in their order of preference.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2…]  <base>    zset    id -> may run at, epoch ms
-- ARGV[1]   worker
-- ARGV[2]   claim number, rising; the same number again is answered with the same leases
-- ARGV[3]   lease length, ms
-- ARGV[4]   free slots, at most 500
-- ARGV[5]   losses after which a job is archived
-- ARGV[6]   '1' if records are streamed
-- ARGV[7…]  quota and name of each queue; what one queue leaves goes to the others, in their order
-- Returns   {now, next due time or -1, time at which this worker is to look again or -1, {ids of runs found lost},
--           started, queue, id, due, attempt, payload or false, side or false, …}
--           The mark of the nth lease is worker:claim:n:started:attempt:due.
--@include clock
--@include room
--@include wake
--@include watch
--@include amnesty
--@include archive
--@include side
--@include recover
local now = clock()
local shard, worker, number = KEYS[1], ARGV[1], ARGV[2]
local lease_ms, slots = tonumber(ARGV[3]), math.min(tonumber(ARGV[4]), 500)
local lease_end = now + lease_ms
local lost = {}
local answer = {now, -1, -1, lost, now}
local identity = shard .. ':worker:' .. worker

make_room(shard)
local last = tonumber(redis.call('HGET', identity, 'claim')) or 0
if #KEYS < 2 or tonumber(number) < last then return answer end  -- no queue; or a delayed copy of an answered call: nobody waits for it

local function append(q, id, due, attempt, payload, side)
  local n = #answer
  answer[n + 1], answer[n + 2], answer[n + 3] = q, id, due
  answer[n + 4], answer[n + 5], answer[n + 6] = attempt, payload, side
end

-- The same call again: its answer was lost. Its leases are those whose mark bears its number.
local function repeat_answer()
  local prefix = worker .. ':' .. number .. ':'
  local found = {}
  for q = 2, #KEYS do
    local cursor = '0'
    repeat
      local page = redis.call('ZSCAN', KEYS[q] .. ':active', cursor, 'COUNT', 200)
      cursor = page[1]
      for i = 1, #page[2], 2 do
        local id = page[2][i]
        local mark = redis.call('GET', 'arq:in-progress:' .. id)
        if mark and string.sub(mark, 1, #prefix) == prefix then
          local index, started, attempt, due = string.match(mark, '^[^:]+:%d+:(%d+):(%d+):(%d+):(.+)$')
          found[tonumber(index)] = {q - 1, id, due, tonumber(attempt), started}
        end
      end
    until cursor == '0'
  end
  local n = 0
  for index in pairs(found) do if index > n then n = index end end
  for index = 1, n do
    local lease = found[index]
    -- A lease that ended meanwhile leaves a gap, so that the others keep their index.
    if lease then
      answer[5] = tonumber(lease[5])
      append(lease[1], lease[2], lease[3], lease[4], redis.call('GET', 'arq:job:' .. lease[2]),
        redis.call('HGET', KEYS[lease[1] + 1] .. ':side', lease[2]))
    else
      append(0, '', '0', 0, false, false)
    end
  end
end

local fields, paused, watches = {}, {}, {}
for q = 2, #KEYS do fields[2 * q - 3], fields[2 * q - 2] = 'paused:' .. KEYS[q], 'watch:' .. KEYS[q] end
local state = redis.call('HMGET', shard .. ':state', unpack(fields))
for q = 1, #KEYS - 1 do paused[q], watches[q] = state[2 * q - 1], state[2 * q] end

local function sooner(one, other) return other == -1 and one or math.min(one, other) end

local function tell_next_due(full)
  for q = 2, #KEYS do
    local base, text = KEYS[q], watches[q - 1]
    local head = not paused[q - 1] and head_of(base) or nil
    local watched = head and head > now and is_watched(shard, worker, text, head, now, lease_ms)
    if full or not head then
      leave_watch(shard, base, worker, text)
      -- More is due, or will be, than this worker can take.
      if head and not watched and (head <= now or redis.call('ZCARD', base) > redis.call('ZCARD', base .. ':active')) then
        wake(base)
      end
    elseif not watched then
      if head > now then keep_watch(shard, base, worker, text, head) end
      answer[3] = sooner(math.max(head, 0), answer[3])
    end
    if head then answer[2] = sooner(math.max(head, 0), answer[2]) end
  end
  return answer
end

local resting = amnesty(shard, now, lease_ms)
if tonumber(number) == last then
  repeat_answer()
  return tell_next_due(false)
end
redis.call('HSET', identity, 'claim', number)

if not resting then
  for q = 2, #KEYS do
    local how = {shard = shard, lease_ms = lease_ms, max_losses = tonumber(ARGV[5]), records = ARGV[6], name = ARGV[4 + 2 * q]}
    for _, id in ipairs(recover(KEYS[q], how, now)) do lost[#lost + 1] = id end
  end
end

-- A due time as digits: another system may have written a fraction, or an infinity.
local function whole(score)
  if string.match(score, '^%d+$') then return score end
  return string.format('%.0f', math.max(0, math.min(tonumber(score) or 0, 9e15)))
end

local MOST_BYTES = 4194304
local taken, bytes = 0, 0
-- Payloads are read a few at a time, so that large ones end the answer before they fill it.
local function read_payloads(keys)
  local payloads, step = {}, 4
  while #payloads < #keys and bytes < MOST_BYTES do
    local from = #payloads + 1
    for _, payload in ipairs(redis.call('MGET', unpack(keys, from, math.min(from + step - 1, #keys)))) do
      payloads[#payloads + 1] = payload
      bytes = bytes + #(payload or '')
    end
    step = bytes > 65536 * #payloads and 1 or 50
  end
  return payloads
end

local function take(q, want)
  local base = KEYS[q]
  local active, side = base .. ':active', base .. ':side'
  local got, passes = 0, 0
  while got < want and bytes < MOST_BYTES and passes < 40 do
    passes = passes + 1
    local due = redis.call('ZRANGE', base, '-inf', now, 'BYSCORE', 'LIMIT', 0, math.min(want - got, 100), 'WITHSCORES')
    if #due == 0 then break end
    local ids, running, jobs = {}, {}, {}
    for i = 1, #due / 2 do
      local id = due[2 * i - 1]
      ids[i], running[i], jobs[i] = id, 'arq:in-progress:' .. id, 'arq:job:' .. id
    end
    local leases = redis.call('ZMSCORE', active, unpack(ids))
    local marks = redis.call('MGET', unpack(running))
    local sides = redis.call('HMGET', side, unpack(ids))
    local payloads = read_payloads(jobs)
    local scores, claimed, granted, retried = {}, {}, {}, {}
    for i = 1, #payloads do
      local id, score = ids[i], lease_end
      local lease = tonumber(leases[i])
      local foreign = marks[i] and not lease and redis.call('PTTL', running[i]) or -1
      if lease then
        -- Its score is only a hint that somebody changed; the lease counts. An expired one waits for recover.
        score = math.max(lease, now + 1000)
      elseif foreign > 0 then
        score = now + foreign  -- another system's lease
      else
        local attempt = 1
        if sides[i] then
          attempt = (read_side(sides[i]).n or 0) + 1
          retried[#retried + 1] = id
        end
        taken, got = taken + 1, got + 1
        local was_due = whole(due[2 * i])
        append(q - 1, id, was_due, attempt, payloads[i], sides[i])
        local m = #claimed
        claimed[m + 1], claimed[m + 2] = lease_end, id
        granted[m + 1] = running[i]
        granted[m + 2] = worker .. ':' .. number .. ':' .. taken .. ':' .. now .. ':' .. attempt .. ':' .. was_due
        -- arq gives a payload 24 hours; a claimed one must not expire. Our own never do.
        if payloads[i] and string.sub(payloads[i], 1, 5) ~= '{"i":' then redis.call('PERSIST', jobs[i]) end
      end
      scores[2 * i - 1], scores[2 * i] = score, id
    end
    redis.call('ZADD', base, unpack(scores))
    if #claimed > 0 then
      redis.call('ZADD', active, unpack(claimed))
      redis.call('MSET', unpack(granted))
    end
    if #retried > 0 then redis.call('ZREM', base .. ':retry', unpack(retried)) end
  end
  return got
end

local empty = {}
for q = 2, #KEYS do
  local quota = math.min(tonumber(ARGV[3 + 2 * q]), slots - taken)
  if paused[q - 1] then empty[q] = true elseif quota > 0 then empty[q] = take(q, quota) < quota end
end
for q = 2, #KEYS do
  if taken < slots and not empty[q] then take(q, slots - taken) end
end

return tell_next_due(taken >= slots)
