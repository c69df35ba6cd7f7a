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
-- ARGV[7…]  quota, name and gate of each queue; what one queue leaves goes to the others, in their order
--           gate: '' or <most>:<from>:<until>: at the most so many to this worker, in these ms only
-- Returns   {now, next due time or -1, time at which this worker is to look again or -1, {ids of runs found lost},
--           started, queue, id, due, attempt, payload or false, side or false, …}
--           The mark of the nth lease is worker:claim:n:started:attempt:due. What a job is limited by follows its
--           due time, there and in the answer, after a colon: see lanes.
--@include clock
--@include room
--@include wake
--@include watch
--@include amnesty
--@include archive
--@include side
--@include lanes
--@include unique
--@include limits
--@include cancelling
--@include recover
--@include leasing
local now = clock()
local shard, worker, number = KEYS[1], ARGV[1], ARGV[2]
local lease_ms, slots = tonumber(ARGV[3]), math.min(tonumber(ARGV[4]), 500)
local lost = {}
local answer = {now, -1, -1, lost, now}
local identity = shard .. ':worker:' .. worker

make_room(shard)
local last = tonumber(redis.call('HGET', identity, 'claim')) or 0
if #KEYS < 2 or tonumber(number) < last then return answer end  -- no queue; or a delayed copy of an answered call: nobody waits for it

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
      append(answer, lease[1], lease[2], lease[3], lease[4], redis.call('GET', 'arq:job:' .. lease[2]),
        redis.call('HGET', KEYS[lease[1] + 1] .. ':side', lease[2]))
    else
      append(answer, 0, '', '0', 0, false, false)
    end
  end
end

local queues, fields = {}, {}
for q = 1, #KEYS - 1 do
  local base = KEYS[q + 1]
  fields[3 * q - 2], fields[3 * q - 1], fields[3 * q] = 'paused:' .. base, 'watch:' .. base, 'limits:' .. base
end
local state = redis.call('HMGET', shard .. ':state', unpack(fields))
for q = 1, #KEYS - 1 do
  local base, gate = KEYS[q + 1], ARGV[6 + 3 * q]
  local queue = {place = q, base = base, quota = tonumber(ARGV[4 + 3 * q]), name = ARGV[5 + 3 * q],
    paused = state[3 * q - 2], watch = state[3 * q - 1], taken = 0, rooms = {}}
  if gate ~= '' then
    local most, from, closes = string.match(gate, '^(%d*):(%d*):(%d*)$')
    queue.most, queue.from, queue.closes = tonumber(most), tonumber(from) or 0, tonumber(closes) or NEVER
  end
  queue.limit, queue.limit_of_keys = read_limits(state[3 * q])
  queues[q] = queue
end

local function sooner(one, other) return other == -1 and one or math.min(one, other) end

local function tell_next_due(full)
  for _, queue in ipairs(queues) do
    local base, text = queue.base, queue.watch
    local head = not queue.paused and head_of(base, queue.no_lanes) or nil
    if head then
      local _, opens = starts_of(queue, now)
      if opens then head = opens < NEVER and math.max(head, opens) or nil end
    end
    local watched = head and head > now and is_watched(shard, worker, text, head, now, lease_ms)
    local passed_on = full or queue.taken == queue.most
    if passed_on or not head then
      leave_watch(shard, base, worker, text)
      -- More is due, or will be, than this worker can take.
      if head and not watched and (head <= now or redis.call('ZCARD', base) > redis.call('ZCARD', base .. ':active')) then
        wake(base)
      end
    elseif not watched then
      if head > now then keep_watch(shard, base, worker, text, head) end
      answer[3] = sooner(math.max(head, 0), answer[3])
    end
    if head and (full or not passed_on) then answer[2] = sooner(math.max(head, 0), answer[2]) end
  end
  return answer
end

local resting = amnesty(shard, now, lease_ms)
if tonumber(number) == last then
  repeat_answer()
  return tell_next_due(false)
end
if redis.call('HSET', identity, 'claim', number) > 0 then redis.call('PEXPIRE', identity, 3600000) end  -- before a beat

if not resting then
  for _, queue in ipairs(queues) do
    local how = {shard = shard, lease_ms = lease_ms, max_losses = tonumber(ARGV[5]), records = ARGV[6], name = queue.name}
    for _, id in ipairs(recover(queue.base, how, now)) do lost[#lost + 1] = id end
  end
end

local desk = {shard = shard, now = now, lease_end = now + lease_ms, start = worker .. ':' .. number .. ':',
  turn = tonumber(number), answer = answer, taken = 0, bytes = 0, rooms = {}, shut = {}}
for _, queue in ipairs(queues) do
  queue.left = queue.paused and 0 or starts_of(queue, now)
  local quota = math.min(queue.quota, slots - desk.taken)
  if quota > 0 then queue.empty = take(desk, queue, quota) < quota end
end
for _, queue in ipairs(queues) do
  if desk.taken < slots and not queue.empty then take(desk, queue, slots - desk.taken) end
end
settle(desk, queues)
return tell_next_due(desk.taken >= slots)
