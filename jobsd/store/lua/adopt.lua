-- adopt: keep payloads that arq's clients stored from expiring while they wait, unless their caller wished it.
--
-- And let a job fall due whose score, written by somebody else, is before all times: see keys.py.
--
-- arq lets a payload expire a day after its job is due, or when the caller says. What lives for a day after, less an
-- hour in which clocks may differ, is nobody's wish.
--
-- KEYS[1]  <base>   zset    id -> may run at, epoch ms
-- ARGV[1]  cursor, '0' to begin
-- Returns  the next cursor, '0' when all were seen; about 500 jobs a call.
--@include clock
local now = clock()
local page = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', 500)
for i = 1, #page[2], 2 do
  local job = 'arq:job:' .. page[2][i]
  local life = redis.call('PTTL', job)
  if tonumber(page[2][i + 1]) < -9e15 then redis.call('ZADD', KEYS[1], 0, page[2][i]) end
  if life > 0 and now + life - tonumber(page[2][i + 1]) >= 82800000 then redis.call('PERSIST', job) end
end
return page[1]
