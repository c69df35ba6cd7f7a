-- forget_spares: forget what has been carried over of schedules that had come further while Postgres was away.
--
-- KEYS[1]  <shard>:spare    hash
-- KEYS[2]  <shard>:spared   list
-- ARGV[1]  many     how many spares
-- ARGV[2…] name and version of each; then the lines that were carried, the earliest first
-- Returns  how many spares went: one that has come further since stays.
local went, at = 0, 2 + 2 * tonumber(ARGV[1])
for i = 2, at - 1, 2 do
  local stored = redis.call('HGET', KEYS[1], ARGV[i])
  if stored and string.match(stored, '^%d+') == ARGV[i + 1] then went = went + redis.call('HDEL', KEYS[1], ARGV[i]) end
end
for i = at, #ARGV do redis.call('LREM', KEYS[2], -1, ARGV[i]) end
return went
