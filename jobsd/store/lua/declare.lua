-- declare: write down the schedules that a daemon declares, and that it is alive.
--
-- KEYS[1]  <shard>  prefix
-- ARGV[1]  fingerprint  of the whole declaration
-- ARGV[2]  at_start     '1': its word counts also against a daemon that declares otherwise and is alive
-- ARGV[3…] name, source, definition, when; repeated, at most 500
--          when: the part of the definition that says when it is due; where it is another, it goes on from now
--
-- Returns  how many were written.
--
-- An entry of <shard>:schedules is lines: version, fingerprint of who declares it, source, when, definition, state.
--@include clock
local now = clock()
local entries, declared = KEYS[1] .. ':schedules', KEYS[1] .. ':declared'
local news, written = false, 0
redis.call('ZADD', declared, now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', declared, '-inf', now - 2592000000)

local function is_alive(fingerprint)
  return (tonumber(redis.call('ZSCORE', declared, fingerprint) or 0)) > now - 30000
end

for i = 3, #ARGV, 4 do
  local name, source, definition, when = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local stored = redis.call('HGET', entries, name)
  local version, by, src, time, was, state = string.match(stored or '', '^(%d+)\n(.-)\n(.-)\n(.-)\n(.-)\n(.*)$')
  local same = was == definition and src == source
  if not version or ((not same or by ~= ARGV[1]) and (ARGV[2] == '1' or not is_alive(by))) then
    if not version then
      state = '{"cursor":' .. string.format('%d', now) .. ',"anchor":' .. string.format('%d', now) .. '}'
    elseif time ~= when then
      state = string.gsub(state, '"cursor":%d+', '"cursor":' .. string.format('%d', now), 1)
      state = string.gsub(state, '"anchor":%d+', '"anchor":' .. string.format('%d', now), 1)
    end
    news, written = news or not same, written + 1
    version = string.format('%d', tonumber(version or 0) + 1)
    redis.call('HSET', entries, name, table.concat({version, ARGV[1], source, when, definition, state}, '\n'))
  end
end
if news then redis.call('HINCRBY', KEYS[1] .. ':state', 'schedules', 1) end
return written
