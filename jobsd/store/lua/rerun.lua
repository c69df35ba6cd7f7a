-- rerun: run an archived job again, with a fresh count.
--
-- KEYS[1]  <base>   zset    id -> may run at, epoch ms
-- KEYS[2]  <shard>  prefix
-- ARGV[1]  id
-- Returns  1; 0 if no such job is archived, or another with its id is live or kept as completed; 2 if another job
--          holds its unique key.
--@include clock
--@include side
--@include wake
--@include lanes
local base, id = KEYS[1], ARGV[1]
local dead = base .. ':dead:' .. id
local payload = redis.call('HGET', dead, 'payload')
-- Its own result ends by itself; one that does not is kept for a later job of its id, in whichever queue.
if not payload or redis.call('EXISTS', 'arq:job:' .. id) == 1 or redis.call('PTTL', 'arq:result:' .. id) == -1 then return 0 end
local unique, ms = string.match(limits_of(payload) or '', 'u=(%x+)/(%d+)')
if unique then
  local key = KEYS[2] .. ':unique:' .. unique
  local holder = string.match(redis.call('GET', key) or '', ' (.+)$')
  if holder and redis.call('EXISTS', 'arq:job:' .. holder) == 1 then return 2 end
  redis.call('SET', key, base .. ' ' .. id, 'PX', ms)
end
local info = read_side(redis.call('HGET', dead, 'info'))
redis.call('SET', 'arq:job:' .. id, payload)
redis.call('ZADD', base, clock(), id)
-- Attempts go on counting, so that no two runs of a job have the same number; failures start afresh.
redis.call('HSET', base .. ':side', id, cjson.encode({n = info.n}))
redis.call('SADD', KEYS[2] .. ':queues', base)
redis.call('DEL', dead, 'arq:result:' .. id)
redis.call('ZREM', base .. ':archived', id)
wake(base)
return 1
