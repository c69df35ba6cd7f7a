-- leasing: take due jobs from a queue, as its limits allow; what waits for a limit key or a resource, from its lane.
--
-- Needs the includes wake, side, lanes, unique and limits. `desk` is what one claim has in hand; `queue` is
-- {place, base, left: starts that its limits allow, most, from, closes: its gate, limit, limit_of_keys}.
local MOST_BYTES = 4194304

local function append(answer, place, id, due, attempt, payload, side)
  local n = #answer
  answer[n + 1], answer[n + 2], answer[n + 3] = place, id, due
  answer[n + 4], answer[n + 5], answer[n + 6] = attempt, payload, side
end

-- How many of the queue's jobs may start and, if none whoever asks, from which ms on one may.
local function starts_of(queue, now)
  if queue.from and now < queue.from then return 0, queue.from end
  if queue.closes and now >= queue.closes then return 0, now + 1000 end  -- who asks does not know the next window yet
  local limit = queue.limit
  local running = limit.running and redis.call('ZCARD', queue.base .. ':active') or 0
  local room, opens = room_of(limit, running, queue.base .. ':starts', now)
  if queue.most then room = math.min(room, queue.most - queue.taken) end
  return room, opens
end

local function room_of_limit(desk, queue, limit)
  local owner = owner_of(limit, desk.shard, queue.base)
  local key = owner .. ' ' .. limit
  local room = desk.rooms[key]
  if not room then
    local bound = queue.limit_of_keys
    if owner == desk.shard then bound = read_limits(redis.call('HGET', desk.shard .. ':state', 'limits:' .. limit)) end
    room = {owner = owner, name = limit, limit = bound, taken = 0}
    local running = bound.running and tonumber(redis.call('HGET', owner .. ':held', limit)) or 0
    room.left, room.opens = room_of(bound, running, owner .. ':starts:' .. limit, desk.now)
    desk.rooms[key] = room
  end
  return room
end

-- The rooms under a lane's limits. The table of a lane is made once a claim.
local function rooms_of(desk, queue, lane)
  local rooms = queue.rooms[lane]
  if not rooms then
    rooms = {}
    for limit in each_limit(lane) do rooms[#rooms + 1] = room_of_limit(desk, queue, limit) end
    queue.rooms[lane] = rooms
  end
  return rooms
end

local function least_room(rooms)
  local least = math.huge
  for _, room in ipairs(rooms) do least = math.min(least, room.left) end
  return least
end

-- A due time as digits: another system may have written a fraction, or an infinity.
local function whole(score)
  if string.match(score, '^%d+$') then return score end
  return string.format('%.0f', math.max(0, math.min(tonumber(score) or 0, 9e15)))
end

-- Payloads are read a few at a time, so that large ones end the answer before they fill it.
local function read_payloads(desk, keys)
  local payloads, step = {}, 4
  while #payloads < #keys and desk.bytes < MOST_BYTES do
    local from = #payloads + 1
    for _, payload in ipairs(redis.call('MGET', unpack(keys, from, math.min(from + step - 1, #keys)))) do
      payloads[#payloads + 1] = payload
      desk.bytes = desk.bytes + #(payload or '')
    end
    step = desk.bytes > 65536 * #payloads and 1 or 50
  end
  return payloads
end

-- Lease the jobs {id, due, …}; those that come out of `lanes`, each in its turn, have room reserved under their limits.
-- Returns how many were leased, and looked at.
local function lease(desk, queue, due, lanes)
  local base, now, lease_end = queue.base, desk.now, desk.lease_end
  local ids, running, jobs = {}, {}, {}
  for i = 1, #due / 2 do
    local id = due[2 * i - 1]
    ids[i], running[i], jobs[i] = id, 'arq:in-progress:' .. id, 'arq:job:' .. id
  end
  local leases = redis.call('ZMSCORE', base .. ':active', unpack(ids))
  local marks = redis.call('MGET', unpack(running))
  local sides = redis.call('HMGET', base .. ':side', unpack(ids))
  local payloads = read_payloads(desk, jobs)
  local scores, claimed, granted, retried, joined = {}, {}, {}, {}, {}
  local n, m = 0, 0
  for i = 1, #payloads do
    local id, payload, score = ids[i], payloads[i], lease_end
    local held = tonumber(leases[i])
    local foreign = marks[i] and not held and redis.call('PTTL', running[i]) or -1
    local limits, from = limits_of(payload), lanes and lanes[i]
    local lane = limits and (limits == from and from or lane_of(limits))
    local reserved = from
    if from and not payload and not redis.call('ZSCORE', base, id) then
      score = nil  -- somebody deleted the job
    elseif held then
      -- Its score is only a hint that somebody changed; the lease counts. An expired one waits for recover.
      score = math.max(held, now + 1000)
    elseif foreign > 0 then
      score = now + foreign  -- another system's lease
    elseif lane and lane ~= from then
      score = LANED
      local line = joined[lane]
      if not line then line = {}; joined[lane] = line end
      line[#line + 1], line[#line + 2] = due[2 * i], id
      retried[#retried + 1] = id
    else
      local attempt = 1
      if sides[i] then
        attempt = (read_side(sides[i]).n or 0) + 1
        retried[#retried + 1] = id
      end
      desk.taken, queue.taken, queue.left = desk.taken + 1, queue.taken + 1, queue.left - 1
      local was_due = whole(due[2 * i])
      if limits then
        was_due = was_due .. ':' .. limits
        if limits ~= lane then shut(desk.shard, limits, id) end
        if lane then
          for _, room in ipairs(queue.rooms[lane]) do room.taken = room.taken + 1 end
          reserved = nil
        end
      end
      append(desk.answer, queue.place, id, was_due, attempt, payload, sides[i])
      claimed[m + 1], claimed[m + 2] = lease_end, id
      granted[m + 1] = running[i]
      m = m + 2
      granted[m] = desk.start .. desk.taken .. ':' .. now .. ':' .. attempt .. ':' .. was_due
      -- arq gives a payload 24 hours; a claimed one must not expire. Our own never do.
      if payload and string.sub(payload, 1, 5) ~= '{"i":' then redis.call('PERSIST', jobs[i]) end
    end
    if score then
      scores[n + 1], scores[n + 2] = score, id
      n = n + 2
    end
    if reserved then
      for _, room in ipairs(queue.rooms[reserved]) do room.left = room.left + 1 end
      desk.left_over = true
    end
  end
  if n > 0 then redis.call('ZADD', base, unpack(scores)) end
  if m > 0 then
    redis.call('ZADD', base .. ':active', unpack(claimed))
    redis.call('MSET', unpack(granted))
  end
  if #retried > 0 then redis.call('ZREM', base .. ':retry', unpack(retried)) end
  for lane, line in pairs(joined) do
    queue.no_lanes, queue.joined = false, true
    join_lane(base, lane, line)
  end
  return m / 2, #payloads
end

local function take_due(desk, queue, want)
  local got, passes = 0, 0
  while got < want and desk.bytes < MOST_BYTES and passes < 40 do
    passes = passes + 1
    local due = redis.call('ZRANGE', queue.base, -7e15, desk.now, 'BYSCORE', 'LIMIT', 0, math.min(want - got, 100), 'WITHSCORES')
    if #due == 0 then break end
    got = got + lease(desk, queue, due)
  end
  return got
end

-- Each lane in its turn, one share a turn.
local function take_turns(desk, queue, want)
  local base, got, visits = queue.base, 0, 0
  local turns = base .. ':turns'
  while got < want and desk.bytes < MOST_BYTES and visits < 500 do
    local visited = redis.call('ZRANGE', turns, 0, math.min(want - got, 100) - 1)
    if #visited == 0 then break end
    visits = visits + #visited
    local share = math.max(1, math.floor(math.min(want - got, 100) / #visited))
    local due, lanes, n = {}, {}, 0
    for _, lane in ipairs(visited) do
      local rooms = rooms_of(desk, queue, lane)
      local most = math.min(share, least_room(rooms))
      local line = most > 0 and redis.call('ZPOPMIN', base .. ':lane:' .. lane, most) or {}
      for i = 1, #line, 2 do
        due[2 * n + 1], due[2 * n + 2] = line[i], line[i + 1]
        n = n + 1
        lanes[n] = lane
      end
      for _, room in ipairs(rooms) do room.left = room.left - #line / 2 end
    end
    redis.call('ZREM', turns, unpack(visited))
    if n > 0 then
      local leased, seen = lease(desk, queue, due, lanes)
      got = got + leased
      -- Those for which the answer had no room go back.
      for i = seen + 1, n do
        redis.call('ZADD', base .. ':lane:' .. lanes[i], due[2 * i], due[2 * i - 1])
        for _, room in ipairs(queue.rooms[lanes[i]]) do room.left = room.left + 1 end
      end
    end
    local last, again = last_of(turns), {}
    for _, lane in ipairs(visited) do
      if redis.call('EXISTS', base .. ':lane:' .. lane) == 1 then
        if least_room(queue.rooms[lane]) > 0 then
          last = last + 1
          again[#again + 1], again[#again + 2] = last, lane
        else
          redis.call('ZREM', turns, lane)  -- a job may have joined it meanwhile
          desk.shut[#desk.shut + 1] = {queue, lane}
        end
      end
    end
    if #again > 0 then redis.call('ZADD', turns, unpack(again)) end
  end
  return got
end

-- Take up to `want` jobs. The jobs without a lane have their turn as if they were one.
local function take(desk, queue, want)
  want = math.min(want, queue.left)
  if want <= 0 then return 0 end
  local base = queue.base
  if queue.no_lanes == nil then
    queue.no_lanes = redis.call('EXISTS', base .. ':turns', base .. ':closed') == 0
    if not queue.no_lanes then
      for _, lane in ipairs(redis.call('ZRANGE', base .. ':closed', '-inf', desk.now, 'BYSCORE', 'LIMIT', 0, 100)) do
        redis.call('ZREM', base .. ':closed', lane)
        take_turn(base, lane)
      end
      -- The net under the openings: one that was missed waits for a look, and not for ever.
      if redis.call('EXISTS', base .. ':turns') == 0 then
        local lane = redis.call('ZRANDMEMBER', base .. ':closed')
        if lane and least_room(rooms_of(desk, queue, lane)) > 0 then open_lane(base, lane) end
      end
    end
  end
  local got, plain = 0, want
  if not queue.no_lanes then
    local lanes = redis.call('ZCARD', base .. ':turns')
    plain = want - math.floor((want * lanes + desk.turn % (lanes + 1)) / (lanes + 1))
  end
  if plain > 0 then got = take_due(desk, queue, plain) end
  if not queue.no_lanes then
    got = got + take_turns(desk, queue, want - got)
    queue.joined = false
    if got < want then got = got + take_due(desk, queue, want - got) end
    if got < want and queue.joined then got = got + take_turns(desk, queue, want - got) end
  end
  return got
end

-- Close a lane behind the first of its limits that has no room left.
local function close_lane(desk, queue, lane)
  redis.call('ZREM', queue.base .. ':turns', lane)  -- a job may have joined it meanwhile
  for _, room in ipairs(queue.rooms[lane]) do
    if room.left <= 0 then
      redis.call('ZADD', queue.base .. ':closed', room.opens, lane)
      if room.opens == NEVER then
        local line = queue.base .. ':behind:' .. room.name
        redis.call('ZADD', line, 'NX', last_of(line) + 1, lane)
      end
      return
    end
  end
  take_turn(queue.base, lane)  -- what was reserved before it was given back
end

-- Write down what started under which limit, and close the lanes that have no room left.
local function settle(desk, queues)
  for _, queue in ipairs(queues) do note_starts(queue.limit, queue.base .. ':starts', queue.taken, desk.now) end
  for _, room in pairs(desk.rooms) do
    local starts = room.owner .. ':starts:' .. room.name
    if room.taken > 0 then
      local running = redis.call('HINCRBY', room.owner .. ':held', room.name, room.taken)
      note_starts(room.limit, starts, room.taken, desk.now)
      room.left, room.opens = room_of(room.limit, running, starts, desk.now)
    end
  end
  for _, one in ipairs(desk.shut) do close_lane(desk, one[1], one[2]) end
  if #desk.shut == 0 and not desk.left_over then return end
  -- A lane that was opened for one limit, and took none of its room, leaves it to others.
  for _, queue in ipairs(queues) do
    for _, rooms in pairs(queue.rooms) do
      for _, room in ipairs(rooms) do
        if room.left > 0 and room.limit.running then open_behind(queue.base, room.name, room.left) end
      end
    end
  end
end
