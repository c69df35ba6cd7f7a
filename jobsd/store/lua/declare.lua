-- declare: write down the schedules that a daemon declares, and that it is alive.
--
-- KEYS[1]  <shard>  prefix
-- ARGV[1]  fingerprint  of the whole declaration
-- ARGV[2]  at_start     '1': it has just started; else its word does not count against a later one that is alive
-- ARGV[3]  age          ms since the daemon's start, which is told to a Redis that has forgotten it
-- ARGV[4…] name, source, definition, when; repeated, at most 500
--          when: the parts of the definition that say when it is due, and, behind a tab, whether it is at all; where
--          either is another it goes on from now
--
-- Returns  how many were written.
--
-- An entry of <shard>:schedules is lines: version, fingerprint of who declares it, source, when, definition, state.
--@include clock
local now = clock()
local entries, declared = KEYS[1] .. ':schedules', KEYS[1] .. ':declared'
local started = KEYS[1] .. ':declaring'
local news, written = false, 0
redis.call('ZADD', declared, now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', declared, '-inf', now - 2592000000)

for _, fingerprint in ipairs(redis.call('ZRANGE', started, 0, -1)) do
  if not redis.call('ZSCORE', declared, fingerprint) then redis.call('ZREM', started, fingerprint) end
end
if ARGV[2] == '1' or not redis.call('ZSCORE', started, ARGV[1]) then
  redis.call('ZADD', started, now - tonumber(ARGV[3]), ARGV[1])
end
local since = tonumber(redis.call('ZSCORE', started, ARGV[1]))

-- What nobody has declared for so long is forgotten.
if ARGV[2] == '1' then
  local all = redis.call('HGETALL', entries)
  for i = 1, #all, 2 do
    if not redis.call('ZSCORE', declared, string.match(all[i + 1], '^%d+\n(.-)\n') or '') then
      redis.call('HDEL', entries, all[i])
      redis.call('DEL', KEYS[1] .. ':schedule:' .. all[i])
    end
  end
end

local function counts_more(fingerprint)
  local seen, began = redis.call('ZSCORE', declared, fingerprint), redis.call('ZSCORE', started, fingerprint)
  if not seen or not began or tonumber(seen) <= now - 30000 then return false end
  return tonumber(began) > since or (tonumber(began) == since and fingerprint > ARGV[1])
end

for i = 4, #ARGV, 4 do
  local name, source, definition, when = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local stored = redis.call('HGET', entries, name)
  local version, by, src, time, was, state = string.match(stored or '', '^(%d+)\n(.-)\n(.-)\n(.-)\n(.-)\n(.*)$')
  local same = was == definition and src == source
  if not version or ((not same or by ~= ARGV[1]) and not counts_more(by)) then
    if not version then
      state = '{"cursor":' .. string.format('%d', now) .. ',"anchor":' .. string.format('%d', now) .. '}'
    elseif time ~= when then
      state = string.gsub(state, '"cursor":%d+', '"cursor":' .. string.format('%d', now), 1)
      if string.match(time, '^[^\t]*') ~= string.match(when, '^[^\t]*') then
        state = string.gsub(state, '"anchor":%d+', '"anchor":' .. string.format('%d', now), 1)
      end
    end
    news, written = news or not same, written + 1
    version = string.format('%d', tonumber(version or now) + 1)  -- never that of an entry before it
    redis.call('HSET', entries, name, table.concat({version, ARGV[1], source, when, definition, state}, '\n'))
  end
end
if news then redis.call('HINCRBY', KEYS[1] .. ':state', 'schedules', 1) end
return written
