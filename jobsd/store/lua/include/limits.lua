-- limits: how many starts a limit allows now.
--
-- A text is <concurrency>:<count>:<window ms> of a queue or resource, then the same three of each limit key; any may
-- be ''. What follows the first '|' is read by workers. A rate counts starts one by one: in any window, its edges
-- included, there are no more than <count>. The list <starts> has the ms of each start that may still count.
local NEVER = 9000000000000000

local function read_limits(text)
  local running, count, window, key_running, key_count, key_window =
    string.match(text or '', '^(%d*):(%d*):(%d*):(%d*):(%d*):(%d*)')
  return {running = tonumber(running), count = tonumber(count), window = tonumber(window)},
    {running = tonumber(key_running), count = tonumber(key_count), window = tonumber(key_window)}
end

-- Forget the oldest starts as long as they no longer count; returns how many are left.
local function forget_starts(starts, noted, window, now)
  local look = 1  -- mostly the oldest still counts
  while noted > 0 do
    local oldest, over = redis.call('LRANGE', starts, 0, look - 1), 0
    for _, at in ipairs(oldest) do
      at = tonumber(at)
      -- Those of the future were noted before the clock was put back.
      if now <= at + window and at <= now + window then break end
      over = over + 1
    end
    if over == 0 then break end
    redis.call('LPOP', starts, over)
    noted = noted - over
    if over < look then break end
    look = 100
  end
  return noted
end

-- Returns how many may start now and, if none, from which ms on one may (NEVER: when a lease ends).
local function room_of(limit, running, starts, now)
  local room = math.huge
  if limit.running then
    room = limit.running - running
    if room <= 0 then return 0, NEVER end
  end
  if limit.count then
    local noted = redis.call('LLEN', starts)
    -- A start that counts no more takes nobody's room. One claim starts 500 at most, and with room for those
    -- nobody needs to look.
    if noted + 500 > limit.count then noted = forget_starts(starts, noted, limit.window, now) end
    if noted >= limit.count then
      return 0, tonumber(redis.call('LINDEX', starts, noted - limit.count)) + limit.window + 1
    end
    room = math.min(room, limit.count - noted)
  end
  return room, nil
end

local function note_starts(limit, starts, n, now)
  if not limit.count or n == 0 then return end
  local times = {}
  for i = 1, n do times[i] = now end
  redis.call('RPUSH', starts, unpack(times))
  redis.call('PEXPIRE', starts, limit.window + 1000)
end
