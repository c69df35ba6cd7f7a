-- keep: how much of a queue's finished jobs is kept, and what is over that.
--
-- A text is <completed>:<archived, ms>:<archived>: how many completed jobs, how long an archived one, how many of those.
-- Workers say it of the queues that they serve; what read_keep is handed behind it holds where none ever did.
local function read_keep(text, ...)
  local said = text and {string.match(text, '^(%d+):(%d+):(%d+)')} or {}
  if #said == 0 then said = {...} end
  return tonumber(said[1]), tonumber(said[2]), tonumber(said[3])
end

-- Returns the ids to forget: those up to a score, and the oldest of what is then more than `keep`; at most `most`.
local function over_keep(kept, till, keep, most)
  local old = redis.call('ZRANGE', kept, '-inf', till, 'BYSCORE', 'LIMIT', 0, most)
  local excess = math.min(redis.call('ZCARD', kept) - #old - keep, most - #old)
  if excess > 0 then
    for _, id in ipairs(redis.call('ZRANGE', kept, #old, #old + excess - 1)) do
      old[#old + 1] = id
    end
  end
  return old
end

-- Forgets archived jobs with every key of theirs, at most 200 a call; returns how many.
local function trim_archived(base, now, keep_ms, keep)
  local archived = base .. ':archived'
  local old = over_keep(archived, now - keep_ms, keep, 200)
  if #old == 0 then return 0 end
  local dead = {}
  for i, id in ipairs(old) do dead[i] = base .. ':dead:' .. id end
  redis.call('ZREM', archived, unpack(old))
  redis.call('DEL', unpack(dead))
  return #old
end
