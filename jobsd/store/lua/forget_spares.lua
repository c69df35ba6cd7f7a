-- forget_spares: forget what has been carried over of schedules that had come further while Postgres was away.
--
-- KEYS[1]  <shard>  prefix
-- ARGV     name, version of its spare, how many lines; then the lines that were carried. Repeated for each.
-- Returns  how many spares went: one that has come further since stays, and one of which there are lines still.
local went, i = 0, 1
while i <= #ARGV do
  local name, version, last = ARGV[i], ARGV[i + 1], i + 2 + tonumber(ARGV[i + 2])
  local lines = KEYS[1] .. ':spared:' .. name
  for n = i + 3, last do redis.call('LREM', lines, -1, ARGV[n]) end
  local stored = redis.call('HGET', KEYS[1] .. ':spare', name)
  if stored and string.match(stored, '^%d+') == version and redis.call('EXISTS', lines) == 0 then
    went = went + redis.call('HDEL', KEYS[1] .. ':spare', name)
  end
  i = last + 1
end
return went
