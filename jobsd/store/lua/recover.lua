-- recover: take back jobs of dead workers, from every queue of the shard, paused ones too.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2…]  <base>    zset    id -> may run at, epoch ms
-- ARGV[1]   lease length, ms
-- ARGV[2]   losses after which a job is archived
-- ARGV[3]   '1' if records are streamed
-- ARGV[4…]  name of each queue
-- Returns   the ids of the jobs whose run was lost.
--@include clock
--@include room
--@include wake
--@include amnesty
--@include archive
--@include side
--@include lanes
--@include unique
--@include cancelling
--@include recover
local now = clock()
make_room(KEYS[1])
local lease_ms = tonumber(ARGV[1])
if amnesty(KEYS[1], now, lease_ms) then return {} end
local all = {}
for q = 2, #KEYS do
  local how = {shard = KEYS[1], lease_ms = lease_ms, max_losses = tonumber(ARGV[2]), records = ARGV[3], name = ARGV[q + 2]}
  for _, id in ipairs(recover(KEYS[q], how, now)) do all[#all + 1] = id end
end
return all
