-- judge: note whether a daemon reaches Postgres, which judges schedules, and tell who else does.
--
-- KEYS[1]  <shard>  prefix
-- ARGV[1]  daemon   "<fingerprint of what it declares> <token>"
-- ARGV[2]  reaches  '1': it does; '0': it does not
-- Returns  the daemons that have said so within 7 s, which is more than lies between two beats.
--@include clock
local now, judges = clock(), KEYS[1] .. ':judges'
redis.call('ZREMRANGEBYSCORE', judges, '-inf', now - 7000)
if ARGV[2] == '1' then
  redis.call('ZADD', judges, now, ARGV[1])
  redis.call('PEXPIRE', judges, 7000)
else
  redis.call('ZREM', judges, ARGV[1])
end
return redis.call('ZRANGE', judges, 0, -1)
