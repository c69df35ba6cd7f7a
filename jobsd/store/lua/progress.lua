-- progress: note how far a running job is.
--
-- KEYS[1]  <base>   zset    id -> may run at, epoch ms
-- ARGV[1]  id
-- ARGV[2]  mark of the lease
-- ARGV[3]  done
-- ARGV[4]  total
-- Returns  1, or 0 if the job is no longer this worker's.
--@include side
if redis.call('GET', 'arq:in-progress:' .. ARGV[1]) ~= ARGV[2] then return 0 end
local side = KEYS[1] .. ':side'
local text = redis.call('HGET', side, ARGV[1])
local facts = text and read_side(text) or {}
facts.p = {tonumber(ARGV[3]), tonumber(ARGV[4])}
redis.call('HSET', side, ARGV[1], cjson.encode(facts))
return 1
