-- rerun: run an archived job again, with a fresh count.
--
-- KEYS[1]  <base>   zset    id -> may run at, epoch ms
-- KEYS[2]  <shard>  prefix
-- ARGV[1]  id
-- Returns  1, or 0 if no such job is archived, or another with its id is live or kept as completed.
--@include clock
--@include side
--@include wake
local base, id = KEYS[1], ARGV[1]
local dead = base .. ':dead:' .. id
local payload = redis.call('HGET', dead, 'payload')
-- Its own result ends by itself; one that does not is kept for a later job of its id, in whichever queue.
if not payload or redis.call('EXISTS', 'arq:job:' .. id) == 1 or redis.call('PTTL', 'arq:result:' .. id) == -1 then return 0 end
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
