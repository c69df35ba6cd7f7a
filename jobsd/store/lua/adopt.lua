-- adopt: take the expiry from payloads that arq's clients stored, which would otherwise end after 24 hours of waiting.
--
-- KEYS[1]  <base>   zset    id -> may run at, epoch ms
-- ARGV[1]  cursor, '0' to begin
-- Returns  the next cursor, '0' when all were seen; about 500 jobs a call.
local page = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', 500)
for i = 1, #page[2], 2 do redis.call('PERSIST', 'arq:job:' .. page[2][i]) end
return page[1]
