-- told: say how far the cancelling of a running job has come.
--
-- KEYS[1]  <shard>  prefix
-- ARGV[1]  id
-- ARGV[2]  mark of the lease
-- ARGV[3]  'delivered' or 'resisting'
-- Returns  1, or 0 if nobody asked for it, or another run has the job.
--@include room
make_room(KEYS[1])
local asked = redis.call('HGET', KEYS[1] .. ':cancels', ARGV[1])
if not asked or string.match(asked, '^%a+ (.*)$') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1] .. ':cancels', ARGV[1], ARGV[3] .. ' ' .. ARGV[2])
return 1
