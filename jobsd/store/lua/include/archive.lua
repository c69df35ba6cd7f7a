-- archive: set a job aside, with its payload, and remove every other key of it.
--
-- The caller removes it from <base> and <base>:active, and holds its payload. `info` is JSON.
local function archive(base, id, payload, info, now)
  redis.call('HSET', base .. ':dead:' .. id, 'payload', payload or '', 'info', info)
  redis.call('ZADD', base .. ':archived', now, id)
  redis.call('HDEL', base .. ':side', id)
  redis.call('DEL', 'arq:job:' .. id)
end

-- The end of a job of the outbox is told even where nothing is recorded: its row goes by that.
local function is_of_outbox(payload) return payload and string.sub(payload, 1, 7) == '{"i":"o' end

-- The result of a job that ended without a run of its own, for those who wait for it; kept for an hour.
-- `run` is {attempt, started, now}.
local function failed_result(payload, kind, message, run, name, id)
  if not payload or string.sub(payload, 1, 5) ~= '{"i":' then return nil end
  return string.sub(payload, 1, -2) .. ',"t":' .. run[1] .. ',"s":false,"r":' .. cjson.encode({type = kind, message = message})
    .. ',"st":' .. run[2] .. ',"ft":' .. run[3] .. ',"q":' .. cjson.encode(name) .. ',"id":' .. cjson.encode(id) .. '}'
end
