-- examine: what is wrong with jobs; and mended at once, where it is known what is right.
--
-- Nothing is believed that was seen before: every place in which a job may be is looked at here, in one step.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2…]  <base>    zset    id -> may run at, epoch ms; those of this shard first, then those of others on this server
-- ARGV[1]   '1' to mend
-- ARGV[2]   how many of the queues are this shard's
-- ARGV[3]   what was seen of all these jobs: '' or <queue (1 is KEYS[2])>:lane:<lane>, :parked:<reason>, :dead:, or
--           :home:<due, ms>:<incarnation> (the queue that Postgres names of one that is in none)
-- ARGV[4]   how many reasons follow
-- ARGV[5…]  reasons for which jobs are parked, in any queue; then ids, at most 100
-- Returns   kind, id, queue (0: none), 'mended', 'can' (be mended), 'recover' (by that script) or 'left'; repeated.
--@include clock
--@include room
--@include wake
--@include archive
--@include side
--@include lanes
local PARKED, NO_TIME, NEVER_HEARD_MS, RESULT_MS = -9000000000000000, -7e15, 60000, 3600000
local shard, mend, own = KEYS[1], ARGV[1] == '1', tonumber(ARGV[2])
local now = clock()
if mend then make_room(shard) end

local reasons, ids = {}, {}
for i = 5, 4 + tonumber(ARGV[4]) do reasons[i - 4] = ARGV[i] end
for i = 5 + tonumber(ARGV[4]), #ARGV do ids[#ids + 1] = ARGV[i] end
local told = {string.match(ARGV[3], '^(%d+):(%a+):(.*)$')}
local told_queue, told_kind, told_name = tonumber(told[1]), told[2], told[3]

local queues, running, heads = {}, {}, {}
for i, id in ipairs(ids) do
  running[i] = 'arq:in-progress:' .. id
  heads[i] = redis.call('GETRANGE', 'arq:job:' .. id, 0, 4095)
end
local marks = redis.call('MGET', unpack(running))
local asked = redis.call('HMGET', shard .. ':cancels', unpack(ids))
for q = 1, #KEYS - 1 do
  local base = KEYS[q + 1]
  local queue = {base = base, scores = redis.call('ZMSCORE', base, unpack(ids)),
    leases = redis.call('ZMSCORE', base .. ':active', unpack(ids))}
  if q <= own then
    queue.retries = redis.call('ZMSCORE', base .. ':retry', unpack(ids))
    queue.completed = redis.call('ZMSCORE', base .. ':completed', unpack(ids))
    queue.archived = redis.call('ZMSCORE', base .. ':archived', unpack(ids))
    queue.sides = redis.call('HMGET', base .. ':side', unpack(ids))
    queue.parked = {}
    for _, reason in ipairs(reasons) do
      local line = base .. ':parked:' .. reason
      if redis.call('EXISTS', line) == 1 then queue.parked[reason] = redis.call('ZMSCORE', line, unpack(ids)) end
    end
  end
  queues[q] = queue
end
-- Until it is over nobody is taken for dead.
local amnesty_ends = tonumber(redis.call('HGET', shard .. ':state', 'amnesty')) or 0

local answer = {}
local function tell(kind, job, q, verdict)
  for _, part in ipairs({kind, job.id, q, verdict}) do answer[#answer + 1] = part end
end

-- Say what is wrong, and put it right if that is wanted.
local function put_right(kind, job, q, how)
  if mend then how() end
  tell(kind, job, q, mend and 'mended' or 'can')
end

-- The lines of a queue, beside its zset, in which a job stands: {key, kind, name, due}, …
local function lines_of(job, q)
  local queue, lines = queues[q], {}
  local function found(kind, name, due)
    if due then lines[#lines + 1] = {key = queue.base .. ':' .. kind .. ':' .. name, kind = kind, name = name, due = due} end
  end
  local function look(lane) found('lane', lane, redis.call('ZSCORE', queue.base .. ':lane:' .. lane, job.id)) end
  if job.lane then look(job.lane) end
  if told_queue == q and told_kind == 'lane' and told_name ~= job.lane then look(told_name) end
  for reason, dues in pairs(queue.parked) do found('parked', reason, dues[job.i]) end
  return lines
end

local function leave(q, line, id)
  if line.kind == 'lane' then leave_lane(queues[q].base, line.name, id) else redis.call('ZREM', line.key, id) end
end

local function put_into(job, q, due)
  put_back(queues[q].base, job.id, due, job.limits, now)
  redis.call('SADD', shard .. ':queues', queues[q].base)
  wake(queues[q].base)
end

-- One place only: what stands in a queue in which the job is not.
local function sweep(job, q)
  local i, id, queue = job.i, job.id, queues[q]
  if queue.retries[i] then
    put_right('stray_entry', job, q, function() redis.call('ZREM', queue.base .. ':retry', id) end)
  end
  for _, line in ipairs(lines_of(job, q)) do
    put_right('stray_entry', job, q, function() leave(q, line, id) end)
  end
  if queue.sides[i] then
    put_right('stray_side', job, q, function() redis.call('HDEL', queue.base .. ':side', id) end)
  end
end

-- What has ended: each result in one list, so that it is forgotten; each archived job with what it was.
local function examine_ended(job)
  local i, id = job.i, job.id
  local life, kept = redis.call('PTTL', 'arq:result:' .. id), {}
  for q = 1, own do
    local queue, base = queues[q], queues[q].base
    local forgotten = tonumber(queue.completed[i])
    -- One whose time has come may have lost its result, and waits for trim.
    if forgotten and forgotten > now + 1000 then
      kept[#kept + 1] = q
      if life == -2 then
        put_right('completed_without_result', job, q, function() redis.call('ZREM', base .. ':completed', id) end)
      end
    end
    if queue.archived[i] and redis.call('EXISTS', base .. ':dead:' .. id) == 0 then
      put_right('archived_without_job', job, q, function() redis.call('ZREM', base .. ':archived', id) end)
    elseif told_kind == 'dead' and told_queue == q and not queue.archived[i]
        and redis.call('EXISTS', base .. ':dead:' .. id) == 1 then
      put_right('dead_unlisted', job, q, function() redis.call('ZADD', base .. ':archived', now, id) end)
    end
  end
  if life == -2 or (life ~= -1 and #kept < 2) then return end
  local listed = #kept > 0
  for q = 1, own do listed = listed or queues[q].completed[i] end
  if listed and #kept < 2 then return end
  local result = redis.call('GET', 'arq:result:' .. id)
  if string.sub(result, 1, 5) ~= '{"i":' then return end  -- arq may keep its own for ever
  local read, facts = pcall(cjson.decode, result)
  local name = read and type(facts) == 'table' and tostring(facts.q) or ''
  local base = string.find(name, ':', 1, true) and name or shard .. name
  local home
  for q = 1, own do
    if queues[q].base == base or queues[q].base .. ':' == base then home = q end
  end
  if not listed then
    if not home then return tell('endless_result', job, 0, 'left') end
    return put_right('endless_result', job, home, function()
      redis.call('ZADD', queues[home].base .. ':completed', now + RESULT_MS, id)
    end)
  end
  for _, q in ipairs(kept) do
    if home and queues[home].completed[i] and q ~= home then
      put_right('two_completed', job, q, function() redis.call('ZREM', queues[q].base .. ':completed', id) end)
    end
  end
end

local function same_job(job, stored)
  if not stored or not job.stored then return false end
  if job.ours then return string.sub(stored, 1, 19) == string.sub(job.head, 1, 19) end
  return stored == redis.call('GET', 'arq:job:' .. job.id)
end

-- A payload that is in no queue: what else is kept of it may say which was its.
local function find_home(job)
  local i, homes = job.i, {}
  local function found(q, due, score) homes[#homes + 1] = {q = q, due = due, score = score} end
  local _, _, _, due = string.match(job.mark or '', '^[^:]+:%d+:%d+:(%d+):(%d+):(%d+)')
  for q = 1, own do
    local queue = queues[q]
    if queue.retries[i] then found(q, tonumber(queue.retries[i])) end
    for _, line in ipairs(lines_of(job, q)) do
      found(q, tonumber(line.due), line.kind == 'lane' and line.name == job.lane and LANED or line.kind == 'parked' and PARKED)
    end
    if queue.sides[i] then found(q) end
  end
  local digest = job.limits and string.match(job.limits, 'u=(%x+)/')
  local holder = digest and redis.call('GET', shard .. ':unique:' .. digest) or ''
  digest = job.limits and string.match(job.limits, 'o=(%x+)')
  local open = digest and redis.call('HMGET', shard .. ':open:' .. digest, 'base', 'id') or {}
  for q = 1, own do
    local base = queues[q].base
    if holder == base .. ' ' .. job.id or (open[1] == base and open[2] == job.id) then found(q) end
  end
  local ms, incarnation = string.match(told_kind == 'home' and told_name or '', '^(%d*):(.*)$')
  if ms and (not job.ours or string.sub(job.head, 7, 18) == incarnation) then found(told_queue, tonumber(ms)) end
  if #homes == 0 then return nil end
  return homes[1].q, homes[1].score, homes[1].due or tonumber(due) or now
end

local function examine_placeless(job)
  local id = job.id
  for q = 1, own do
    if queues[q].archived[job.i] and same_job(job, redis.call('HGET', queues[q].base .. ':dead:' .. id, 'payload')) then
      return put_right('ended_payload', job, q, function() redis.call('DEL', 'arq:job:' .. id) end)
    end
  end
  if job.ours and same_job(job, redis.call('GETRANGE', 'arq:result:' .. id, 0, 18)) then
    return put_right('ended_payload', job, 0, function() redis.call('DEL', 'arq:job:' .. id) end)
  end
  local q, score, due = find_home(job)
  if not q then return tell(job.ours and 'payload_in_no_queue' or 'foreign_payload', job, 0, 'left') end
  put_right('payload_in_no_queue', job, q, function()
    if score then redis.call('ZADD', queues[q].base, score, id) else put_into(job, q, due) end
    wake(queues[q].base)
  end)
end

-- A queue has the job, and nothing says what it was: it can only be set aside.
local function examine_empty(job, q)
  local i, id, queue = job.i, job.id, queues[q]
  if queue.leases[i] then return tell('no_payload', job, q, 'left') end  -- its run ends it
  put_right('no_payload', job, q, function()
    local side = queue.sides[i] and read_side(queue.sides[i]) or {}
    local message = 'the payload is gone (it expired, or was deleted while the job waited)'
    side.e, side.message, side.outcome, side.p = {'UndecodableError', message}, message, 'failed', nil
    for _, line in ipairs(lines_of(job, q)) do leave(q, line, id) end
    redis.call('ZREM', queue.base, id)
    redis.call('ZREM', queue.base .. ':retry', id)
    archive(queue.base, id, '', cjson.encode(side), now)
  end)
end

local function examine_running(job, q)
  local i, id, queue = job.i, job.id, queues[q]
  local lease_end = tonumber(queue.leases[i])
  if not queue.scores[i] then
    put_right('lease_not_in_queue', job, q, function() redis.call('ZADD', queue.base, lease_end, id) end)
  end
  if not job.mark then
    tell('lease_without_mark', job, q, 'recover')
  elseif lease_end < now - NEVER_HEARD_MS and amnesty_ends < now then
    tell('stale_lease', job, q, 'recover')
  end
  if queue.retries[i] then
    put_right('stray_entry', job, q, function() redis.call('ZREM', queue.base .. ':retry', id) end)
  end
  for _, line in ipairs(lines_of(job, q)) do
    put_right('stray_entry', job, q, function() leave(q, line, id) end)
  end
end

local function examine_waiting(job, q)
  local i, id, queue = job.i, job.id, queues[q]
  local score, listed, due = tonumber(queue.scores[i]), false, now
  local parked, laned = score < -85e14, score >= -85e14 and score < NO_TIME
  for _, line in ipairs(lines_of(job, q)) do
    if not listed and ((parked and line.kind == 'parked') or (laned and line.name == job.lane)) then
      listed = true
    elseif line.name ~= job.lane or parked or score > now then
      -- One whose time has come, by an arq client's wish, finds back to its lane by itself.
      due = tonumber(line.due)
      put_right('stray_entry', job, q, function() leave(q, line, id) end)
    end
  end
  if queue.retries[i] and score < NO_TIME then
    put_right('stray_entry', job, q, function() redis.call('ZREM', queue.base .. ':retry', id) end)
  end
  if (parked or laned) and not listed then
    put_right('waits_for_nothing', job, q, function() put_into(job, q, due) end)
  end
end

local function examine(i, id)
  for q = own + 1, #queues do
    if queues[q].scores[i] or queues[q].leases[i] then return end  -- another shard's
  end
  local head = heads[i]
  local job = {i = i, id = id, mark = marks[i], head = head, ours = string.sub(head, 1, 5) == '{"i":'}
  job.stored = head ~= '' or redis.call('EXISTS', 'arq:job:' .. id) == 1
  job.limits = limits_of(head)
  job.lane = job.limits and lane_of(job.limits)
  local waits, runs, home = {}, {}, nil
  for q = 1, own do
    if queues[q].leases[i] then runs[#runs + 1] = q elseif queues[q].scores[i] then waits[#waits + 1] = q end
  end

  if #runs + #waits > 1 then
    -- A lease is right, or what is kept beside one of the queues; nothing says it where that is of two, or of none.
    home = #runs == 1 and runs[1] or nil
    if #runs == 0 then
      local beside = {}
      for _, q in ipairs(waits) do
        if queues[q].retries[i] or queues[q].sides[i] or #lines_of(job, q) > 0 then beside[#beside + 1] = q end
      end
      if #beside == 1 then home = beside[1] end
    end
    if not home then return tell('two_queues', job, waits[1] or runs[1], 'left') end
    for _, q in ipairs(waits) do
      if q ~= home then
        put_right('two_queues', job, q, function() redis.call('ZREM', queues[q].base, id) end)
      end
    end
  else
    home = runs[1] or waits[1]
  end

  if home or not job.stored then
    for q = 1, own do
      if q ~= home then sweep(job, q) end
    end
  end
  if #runs == 0 and job.mark and redis.call('PTTL', running[i]) == -1
      and string.find(job.mark, '^[^:]+:%d+:%d+:%d+:%d+:') then
    put_right('stray_mark', job, home or 0, function() redis.call('DEL', running[i]) end)
  end
  if asked[i] then
    local mark = string.match(asked[i], '^%a+ (.*)$')
    if #runs == 0 or (job.mark and mark ~= '' and mark ~= job.mark) then
      put_right('stray_cancel', job, home or 0, function() redis.call('HDEL', shard .. ':cancels', id) end)
    end
  end
  if not home then
    if job.stored then examine_placeless(job) end
  elseif not job.stored then
    examine_empty(job, home)
  else
    for q = 1, own do
      local dead = queues[q].base .. ':dead:' .. id
      if queues[q].archived[i] and same_job(job, redis.call('HGET', dead, 'payload')) then
        put_right('archived_and_live', job, q, function()
          redis.call('ZREM', queues[q].base .. ':archived', id)
          redis.call('DEL', dead)
          queues[q].archived[i] = false
        end)
      end
    end
    if #runs > 0 then examine_running(job, home) else examine_waiting(job, home) end
  end
  examine_ended(job)
end

for i, id in ipairs(ids) do examine(i, id) end
return answer
