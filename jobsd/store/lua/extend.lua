-- extend: say that a worker lives, and prolong the leases that it still holds.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2…]  <base>    zset    id -> may run at, epoch ms
-- ARGV[1]   worker
-- ARGV[2]   lease length, ms
-- ARGV[3]   '1' if this call lists the last of the worker's leases: only then has it beaten
-- ARGV[4…]  queue (1 is KEYS[2]), id, mark; repeated, at most 500 leases
-- Returns   the positions (from 1) of the leases that are no longer the worker's; they must be let go.
--@include clock
--@include room
--@include amnesty
local now = clock()
local shard, worker, lease_ms = KEYS[1], ARGV[1], tonumber(ARGV[2])
local lease_end = now + lease_ms
make_room(shard)
if redis.call('HGET', shard .. ':worker:' .. worker, 'claim') == '9007199254740991' then return {} end  -- it has signed off
redis.call('ZREMRANGEBYSCORE', shard .. ':workers', '-inf', now - 86400000)  -- those that died a day ago
amnesty(shard, now, lease_ms)
if ARGV[3] == '1' then
  redis.call('ZADD', shard .. ':workers', now, worker)
  redis.call('HSET', shard .. ':worker:' .. worker, 'beat', now, 'lease', lease_ms)
  redis.call('PEXPIRE', shard .. ':worker:' .. worker, math.max(3600000, 10 * lease_ms))
end
local n = (#ARGV - 3) / 3
if n == 0 then return {} end
local running, lost, held = {}, {}, {}
for i = 1, n do running[i] = 'arq:in-progress:' .. ARGV[3 * i + 2] end
local marks = redis.call('MGET', unpack(running))
for i = 1, n do
  if marks[i] == ARGV[3 * i + 3] then
    local q = tonumber(ARGV[3 * i + 1]) + 1
    local list = held[q]
    if not list then list = {}; held[q] = list end
    list[#list + 1] = lease_end
    list[#list + 1] = ARGV[3 * i + 2]
  else
    lost[#lost + 1] = i
  end
end
for q, list in pairs(held) do
  redis.call('ZADD', KEYS[q], 'XX', unpack(list))
  redis.call('ZADD', KEYS[q] .. ':active', unpack(list))
end
return lost
