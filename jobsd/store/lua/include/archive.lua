-- archive: set a job aside, with its payload, and remove every other key of it.
--
-- The caller removes it from <base> and <base>:active, and holds its payload. `info` is JSON.
-- trim_archive forgets old entries with every key of theirs, at most 200 a call, by age and by count.
local function trim_archive(base, now, keep_ms, keep_count)
  local archived = base .. ':archived'
  local old = redis.call('ZRANGE', archived, '-inf', now - keep_ms, 'BYSCORE', 'LIMIT', 0, 200)
  local excess = math.min(redis.call('ZCARD', archived) - #old - keep_count, 200 - #old)
  if excess > 0 then
    for _, id in ipairs(redis.call('ZRANGE', archived, #old, #old + excess - 1)) do
      old[#old + 1] = id
    end
  end
  if #old == 0 then return 0 end
  local dead = {}
  for i, id in ipairs(old) do dead[i] = base .. ':dead:' .. id end
  redis.call('ZREM', archived, unpack(old))
  redis.call('DEL', unpack(dead))
  return #old
end

local function archive(base, id, payload, info, now)
  redis.call('HSET', base .. ':dead:' .. id, 'payload', payload or '', 'info', info)
  redis.call('ZADD', base .. ':archived', now, id)
  redis.call('HDEL', base .. ':side', id)
  redis.call('DEL', 'arq:job:' .. id)
end

-- The result of a job that ended without a run of its own, for those who wait for it; kept for an hour.
-- `run` is {attempt, started, now}.
local function failed_result(payload, kind, message, run, name, id)
  if not payload or string.sub(payload, 1, 5) ~= '{"i":' then return nil end
  return string.sub(payload, 1, -2) .. ',"t":' .. run[1] .. ',"s":false,"r":' .. cjson.encode({type = kind, message = message})
    .. ',"st":' .. run[2] .. ',"ft":' .. run[3] .. ',"q":' .. cjson.encode(name) .. ',"id":' .. cjson.encode(id) .. '}'
end
