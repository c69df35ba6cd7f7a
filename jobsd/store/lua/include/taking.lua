-- taking: store jobs that are limited, or whose key another may hold; one after the other, since each sees the last.
--
-- A rule is '' or one of these, with what the payload says of limits (see lanes):
--   t=<digest>/<ms>   throttle: nothing is stored if a job was within so many ms
--   d=<ms>            debounce: replace the job that is open under o=<digest>; due in so many ms
--   a=<grace ms>/<longest delay ms>/<most items>/<items>/<most bytes>
--                     aggregate: add the items to the job that is open under o=<digest>; due after the grace, at the
--                     latest after the delay, at once when it is full. A payload ends with `"a":[[…]]}`.
-- Needs the include lanes.
local function is_waiting(base, id)
  return base and redis.call('ZSCORE', base, id) and redis.call('EXISTS', 'arq:in-progress:' .. id) == 0
    and redis.call('EXISTS', 'arq:job:' .. id) == 1
end

local function take_in(shard, ruled, answers, taken, fresh, now)
  local lines, holders = {}, {}

  local function put(base, id, due, limits)
    local lane = limits and due <= now and lane_of(limits)
    if lane then
      redis.call('ZADD', base, LANED, id)
      local key = base .. ' ' .. lane
      local line = lines[key]
      if not line then
        line = {base = base, lane = lane, closed = redis.call('ZSCORE', base .. ':closed', lane)}
        lines[key] = line
      end
      line[#line + 1], line[#line + 2] = due, id
      if line.closed then return end  -- nobody is to come for it yet
    else
      redis.call('ZADD', base, due, id)
    end
    local list = fresh[base]
    if not list then list = {}; fresh[base] = list end
    list[#list + 1], list[#list + 2] = due, id
  end

  local function settle_lines()
    for _, line in pairs(lines) do join_lane(line.base, line.lane, line) end
    lines = {}
  end

  local function told(job, digit, base, id)
    answers[job.n] = digit
    holders[#holders + 1] = ' ' .. base .. ' ' .. id
  end

  local function store(job, base, due, limits)
    taken[job.id] = true
    redis.call('SET', 'arq:job:' .. job.id, job.payload)
    put(base, job.id, due, limits)
  end

  -- Let a waiting job fall due at another time.
  local function move(base, id, due, limits)
    settle_lines()
    if limits and lane_of(limits) then leave_lane(base, lane_of(limits), id) end
    put(base, id, due, limits_of(redis.call('GET', 'arq:job:' .. id)))
  end

  local function debounce(job, base, limits)
    local key = shard .. ':open:' .. string.match(limits, 'o=(%x+)')
    local open = redis.call('HMGET', key, 'base', 'id')
    local due = now + tonumber(string.sub(job.rule, 3))
    if not is_waiting(open[1], open[2]) then
      redis.call('DEL', key)
      redis.call('HSET', key, 'base', base, 'id', job.id)
      return store(job, base, due, limits)
    end
    local before = limits_of(redis.call('GET', 'arq:job:' .. open[2]))
    redis.call('SET', 'arq:job:' .. open[2], job.payload)
    move(open[1], open[2], due, before)
    told(job, '3', open[1], open[2])
  end

  local function aggregate(job, base, limits)
    local key = shard .. ':open:' .. string.match(limits, 'o=(%x+)')
    local grace, delay, most, items, bytes = string.match(job.rule, '^a=(%d+)/(%d+)/(%d+)/(%d+)/(%d+)$')
    grace, delay, most, items, bytes = tonumber(grace), tonumber(delay), tonumber(most), tonumber(items), tonumber(bytes)
    local open = redis.call('HMGET', key, 'base', 'id', 'items', 'first')
    if is_waiting(open[1], open[2]) then
      local at, id = open[1], open[2]
      local length, score = redis.call('STRLEN', 'arq:job:' .. id), tonumber(redis.call('ZSCORE', at, id))
      local _, start = string.find(job.payload, '"a":[[', 1, true)
      local more, total = ',' .. string.sub(job.payload, start + 1, -4), tonumber(open[3]) + items
      local fits = total <= most and length + #more <= bytes
      local due = math.min(now + grace, tonumber(open[4]) + delay)
      if not fits or total == most then
        due = now
        redis.call('DEL', key)
      end
      if fits then
        redis.call('SETRANGE', 'arq:job:' .. id, length - 3, more .. ']]}')
        if total < most then redis.call('HSET', key, 'items', total) end
        told(job, '3', at, id)
      end
      if score > now then move(at, id, due, nil) end  -- else it is due, and waits for a worker only
      if fits then return end
    else
      redis.call('DEL', key)
    end
    if items >= most then return store(job, base, now, limits) end
    redis.call('HSET', key, 'base', base, 'id', job.id, 'items', items, 'first', now)
    store(job, base, now + math.min(grace, delay), limits)
  end

  for _, job in ipairs(ruled) do
    local base, kind = job.base, string.sub(job.rule, 1, 2)
    local limits = limits_of(job.payload)
    local digest, ms = string.match(kind == 't=' and job.rule or limits or '', '[tu]=(%x+)/(%d+)')
    local key = digest and shard .. (kind == 't=' and ':throttle:' or ':unique:') .. digest
    local holder = key and redis.call('GET', key)
    local at, id = string.match(holder or '', '^(.-) (.+)$')
    if taken[job.id] then
      answers[job.n] = '0'
    elseif holder and (kind == 't=' or redis.call('EXISTS', 'arq:job:' .. id) == 1) then
      told(job, '2', at, id)
    else
      if key then redis.call('SET', key, base .. ' ' .. job.id, 'PX', ms) end
      if kind == 'd=' then
        debounce(job, base, limits)
      elseif kind == 'a=' then
        aggregate(job, base, limits)
      else
        store(job, base, job.due, limits)
      end
    end
  end
  settle_lines()
  return table.concat(answers) .. table.concat(holders)
end
