-- finish: write what became of jobs, for each whose mark is still the worker's.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2…]  <base>    zset    id -> may run at, epoch ms
-- ARGV[1]   worker
-- ARGV[2]   batch number, rising; the same number again gets the same answer and changes nothing
-- ARGV[3]   how many completed jobs a queue keeps; this and the next two where no worker ever said what it keeps
-- ARGV[4]   how long an archived job is kept, ms
-- ARGV[5]   how many archived jobs a queue keeps
-- ARGV[6…]  queue (1 is KEYS[2]), id, mark, move, at, data, result, record; repeated, at most 500
--           move  at           data
--           C     keep, ms     -               completed; the result is kept that long
--           R     epoch ms     side            retry at
--           S     epoch ms     side            scheduled (a snooze)
--           Q     due, ms      side or ''      back to pending, unchanged
--           P     due, ms      reason          parked
--           L     due, ms      limits          back to pending, unchanged but for these limits: see lanes
--           A     keep, ms     info            archived; the result is kept that long
--           D     0            -               removed
--           record '' = none. result '' = none. P, L, and Q without data and record: the job has not begun, and the
--           rates that counted its start count it no more.
-- Returns   a letter for each: a accepted, s stale (somebody else's now; nothing was written), c not written since the
--           job was asked to be cancelled, and this ending would let it run again.
--@include clock
--@include room
--@include wake
--@include archive
--@include keep
--@include lanes
--@include unique
--@include limits
--@include unbegun
local now = clock()
local shard, worker, batch = KEYS[1], ARGV[1], tonumber(ARGV[2])
local identity = shard .. ':worker:' .. worker
make_room(shard)
local last = redis.call('HMGET', identity, 'finish', 'answers')
if tonumber(last[1]) == batch then return last[2] end
if batch < (tonumber(last[1]) or 0) then return '' end  -- a delayed copy of an answered call: nobody waits for it

local FIRST, STEP = 6, 8
local n = (#ARGV - FIRST + 1) / STEP
if n == 0 then return '' end
local running, answers = {}, {}
for i = 1, n do running[i] = 'arq:in-progress:' .. ARGV[FIRST + (i - 1) * STEP + 1] end
local marks = redis.call('MGET', unpack(running))
local asked, limits, keeps = {}, {}, {}
if redis.call('EXISTS', shard .. ':cancels') == 1 then
  local ids = {}
  for i = 1, n do ids[i] = ARGV[FIRST + (i - 1) * STEP + 1] end
  asked = redis.call('HMGET', shard .. ':cancels', unpack(ids))
end
if #KEYS > 1 then
  local fields = {}
  for q = 2, #KEYS do fields[2 * q - 3], fields[2 * q - 2] = 'limits:' .. KEYS[q], 'keep:' .. KEYS[q] end
  local said = redis.call('HMGET', shard .. ':state', unpack(fields))
  for q = 2, #KEYS do limits[q - 1], keeps[q - 1] = said[2 * q - 3], said[2 * q - 2] end
end
local GOES_ON = {R = true, S = true, Q = true, P = true, L = true}

local freed, unique, forgotten = {}, {}, {}
local ended, results, records, keys = {}, {}, {}, {}
local per_queue, refused, seen, looked = {}, {}, {}, {}
for i = 1, n do
  local at = FIRST + (i - 1) * STEP
  if marks[i] ~= ARGV[at + 2] or seen[marks[i]] then
    answers[i] = 's'
    local base = KEYS[tonumber(ARGV[at]) + 1]
    refused[base] = (refused[base] or 0) + 1
  elseif asked[i] and GOES_ON[ARGV[at + 3]] then
    answers[i] = 'c'
    seen[marks[i]] = true
  else
    answers[i] = 'a'
    seen[marks[i]] = true
    if asked[i] then forgotten[#forgotten + 1] = ARGV[at + 1] end
    local q, id, move = tonumber(ARGV[at]) + 1, ARGV[at + 1], ARGV[at + 3]
    local own = per_queue[q]
    if not own then
      own = {gone = {}, out = {}, completed = {}, kept = {}, failed = 0, processed = 0, waiting = false}
      per_queue[q] = own
    end
    own.out[#own.out + 1] = id
    keys[#keys + 1] = running[i]
    local held = limits_of_mark(marks[i])
    if held then
      local base = KEYS[q]
      local ends = freed[base]
      if not ends then ends = {}; freed[base] = ends end
      if not ends[held] then
        ends[held] = 0
        unique[held] = string.find(held, 'u=', 1, true)
      end
      ends[held] = ends[held] + 1
      if unique[held] and not GOES_ON[move] then unlock(shard, held, id) end
    end
    if move == 'P' or move == 'L' or (move == 'Q' and ARGV[at + 5] == '' and ARGV[at + 7] == '') then
      if held or limits[q - 1] then
        own.unbegun = own.unbegun or {starts = {}, lanes = {}}
        note_unbegun(own.unbegun, marks[i], held)
      end
    end
    if move == 'C' then
      own.gone[#own.gone + 1] = id
      own.processed = own.processed + 1
      keys[#keys + 1] = 'arq:job:' .. id
      if ARGV[at + 6] ~= '' then
        results[#results + 1] = 'arq:result:' .. id
        results[#results + 1] = ARGV[at + 6]
        own.completed[#own.completed + 1] = now + tonumber(ARGV[at + 4])
        own.completed[#own.completed + 1] = id
      end
    else
      ended[#ended + 1] = i
    end
    if ARGV[at + 7] ~= '' then
      records[#records + 1] = id
      records[#records + 1] = ARGV[at + 7]
    end
  end
end

-- The moves that few jobs make, one at a time.
for _, i in ipairs(ended) do
  local at = FIRST + (i - 1) * STEP
  local q, id, move, due, data = tonumber(ARGV[at]) + 1, ARGV[at + 1], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local base, own = KEYS[q], per_queue[q]
  if move == 'A' then
    own.processed = own.processed + 1
    if not string.find(data, '"outcome":"cancelled"', 1, true) then own.failed = own.failed + 1 end
    archive(base, id, redis.call('GET', 'arq:job:' .. id), data, now)
    redis.call('ZREM', base, id)
    if ARGV[at + 6] ~= '' and tonumber(due) > 0 then redis.call('SET', 'arq:result:' .. id, ARGV[at + 6], 'PX', due) end
    own.trim = true
  elseif move == 'D' then
    own.processed = own.processed + 1
    own.gone[#own.gone + 1] = id
    keys[#keys + 1] = 'arq:job:' .. id
  elseif move == 'P' then
    redis.call('ZADD', base, -9e15, id)
    redis.call('ZADD', base .. ':parked:' .. data, due, id)
  else
    if move == 'R' then
      own.failed, own.processed = own.failed + 1, own.processed + 1
      redis.call('ZADD', base .. ':retry', due, id)
    end
    if move == 'L' then
      local payload = redis.call('GET', 'arq:job:' .. id)
      if payload and string.sub(payload, 1, 5) == '{"i":' then
        local rest = string.match(payload, '^,"l":"[^"]*"(.*)$', 20) or string.sub(payload, 20)
        redis.call('SET', 'arq:job:' .. id, string.sub(payload, 1, 19) .. ',"l":"' .. data .. '"' .. rest)
      end
    elseif data ~= '' then
      redis.call('HSET', base .. ':side', id, data)
    end
    put_back(base, id, due, move == 'L' and data or limits_of_mark(marks[i]), now)
    own.waiting = true
  end
end

if #results > 0 then redis.call('MSET', unpack(results)) end
for q, own in pairs(per_queue) do
  local base = KEYS[q]
  local completed_keep, archived_ms, archived_keep
  if own.trim or #own.completed > 0 then
    completed_keep, archived_ms, archived_keep = read_keep(keeps[q - 1], ARGV[3], ARGV[4], ARGV[5])
  end
  local most = limits[q - 1] and tonumber(string.match(limits[q - 1], '^%d+'))
  local were = most and redis.call('ZCARD', base .. ':active')
  redis.call('ZREM', base .. ':active', unpack(own.out))
  if most and were >= most and were - #own.out < most then own.opened = true end  -- it was full, and has room again
  if own.unbegun and give_back_starts(shard, base, limits[q - 1], own.unbegun, looked) then own.opened = true end
  if #own.gone > 0 then
    redis.call('ZREM', base, unpack(own.gone))
    redis.call('HDEL', base .. ':side', unpack(own.gone))
  end
  if #own.completed > 0 then
    local completed = base .. ':completed'
    redis.call('ZADD', completed, unpack(own.completed))
    -- What is over the count goes, twice as many as came at the most; what is over its time is trim's.
    local room = #own.completed
    local excess = math.min(redis.call('ZCARD', completed) - completed_keep, room)
    local old = {}
    if excess > 0 then
      local popped = redis.call('ZPOPMIN', completed, excess)
      for i = 1, #popped, 2 do old[#old + 1] = 'arq:result:' .. popped[i] end
    end
    if #old > 0 then redis.call('DEL', unpack(old)) end
  end
  if own.processed > 0 then redis.call('HINCRBY', base .. ':stats', 'processed', own.processed) end
  if own.failed > 0 then redis.call('HINCRBY', base .. ':stats', 'failed', own.failed) end
  if own.trim then trim_archived(base, now, archived_ms, archived_keep) end
  if own.waiting or (own.opened and redis.call('ZCARD', base) > redis.call('ZCARD', base .. ':active')) then wake(base) end
end
for base, ends in pairs(freed) do let_go(shard, base, ends) end
if #forgotten > 0 then redis.call('HDEL', shard .. ':cancels', unpack(forgotten)) end
if #keys > 0 then redis.call('DEL', unpack(keys)) end
if #records > 0 then redis.call('XADD', shard .. ':records', '*', unpack(records)) end
for base, count in pairs(refused) do redis.call('HINCRBY', base .. ':stats', 'stale', count) end
local answer = table.concat(answers)
if redis.call('HSET', identity, 'finish', batch, 'answers', answer) > 1 then redis.call('PEXPIRE', identity, 3600000) end
return answer
