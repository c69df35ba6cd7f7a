-- unbegun: jobs that were leased, and go back without having begun, give back their starts.
--
-- A start is the ms of its claim, as note_starts wrote it and as the mark has it; of two in one ms either will do. An earlier
-- rate may have counted another number of them: what is not there is not taken out.
-- `unbegun` is {starts: limit -> ms -> how many, lanes: lane -> true}, of one queue; the limit '' is the queue's own.
-- Needs the includes wake, lanes and limits.
local MOST_LOOKED_AT = 100

local function note_unbegun(unbegun, mark, held)
  local at = string.match(mark, '^[^:]+:%d+:%d+:(%d+):')
  local function note(limit)
    local times = unbegun.starts[limit]
    if not times then times = {}; unbegun.starts[limit] = times end
    times[at] = (times[at] or 0) + 1
  end
  note('')
  local lane = held and lane_of(held)
  if not lane then return end
  for limit in each_limit(lane) do note(limit) end
  unbegun.lanes[lane] = true
end

-- Take starts out of the list. Returns the ms at which the rate would have opened, if it was full.
local function take_out(starts, limit, times)
  if not limit.count then return nil end
  local oldest = redis.call('LINDEX', starts, -limit.count)
  for at, n in pairs(times) do redis.call('LREM', starts, -n, at) end
  return oldest and tonumber(oldest) + limit.window + 1 or nil
end

-- Open the lanes that a rate has closed until this ms. A limit key or resource may have many, and what is left then opens
-- at its time: only so many are looked at in each queue.
local function open_closed_until(base, limit, opens, looked)
  local most = MOST_LOOKED_AT - (looked[base] or 0)
  if most <= 0 then return end
  local lanes = redis.call('ZRANGE', base .. ':closed', opens, opens, 'BYSCORE', 'LIMIT', 0, most)
  looked[base] = (looked[base] or 0) + #lanes
  for _, lane in ipairs(lanes) do
    if string.find(',' .. lane .. ',', ',' .. limit .. ',', 1, true) then open_lane(base, lane) end
  end
end

-- Returns whether the queue's own rate was full. `text` is the queue's; `looked` counts in one call, queue by queue.
local function give_back_starts(shard, base, text, unbegun, looked)
  local own, of_keys = read_limits(text)
  local full = {}
  for limit, times in pairs(unbegun.starts) do
    local owner = owner_of(limit, shard, base)
    if limit == '' then
      full[''] = take_out(base .. ':starts', own, times)
    else
      local bound = of_keys
      if owner == shard then bound = read_limits(redis.call('HGET', shard .. ':state', 'limits:' .. limit)) end
      full[limit] = take_out(owner .. ':starts:' .. limit, bound, times)
    end
  end
  local was_full = full[''] ~= nil
  full[''] = nil
  if not next(full) then return was_full end
  for lane in pairs(unbegun.lanes) do open_lane(base, lane) end  -- of many keys, each has one that is not searched for
  for limit, opens in pairs(full) do
    for _, queue in ipairs(owner_of(limit, shard, base) == base and {base} or redis.call('SMEMBERS', shard .. ':queues')) do
      open_closed_until(queue, limit, opens, looked)
    end
  end
  return was_full
end
