-- examine_pushed: what this Redis knows of jobs of the outbox; one that it does not have may be pushed again.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2…]  <base>    zset    id -> may run at, epoch ms
-- ARGV[1]   '1' to forget that it was pushed, where nothing of a job is left
-- ARGV[2…]  queue (1 is KEYS[2]), id, incarnation; repeated, at most 500
-- Returns   a letter for each: l it is live; w another job has its id; e it has ended; n nothing of it is left; q nothing
--           but its place in the queue (not where it is to be forgotten).
--@include room
local shard, forget = KEYS[1], ARGV[1] == '1'
if forget then make_room(shard) end
local letters = {}
for i = 2, #ARGV, 3 do
  local base, id = KEYS[tonumber(ARGV[i]) + 1], ARGV[i + 1]
  local start = '{"i":"' .. ARGV[i + 2] .. '"'
  local head = redis.call('GETRANGE', 'arq:job:' .. id, 0, 18)
  local letter = 'n'
  if head ~= '' then
    letter = head == start and 'l' or 'w'
  elseif redis.call('GETRANGE', 'arq:result:' .. id, 0, 18) == start
      or string.sub(redis.call('HGET', base .. ':dead:' .. id, 'payload') or '', 1, 19) == start then
    letter = 'e'
  elseif forget then
    -- push.lua would take it for one that is here. A queue that still names it gives it up: it comes back whole.
    redis.call('ZREM', shard .. ':outbox', id .. ' ' .. ARGV[i + 2])
    if not redis.call('ZSCORE', base .. ':active', id) then
      redis.call('ZREM', base, id)
      redis.call('ZREM', base .. ':retry', id)
      redis.call('HDEL', base .. ':side', id)
    end
  elseif redis.call('ZSCORE', base, id) then
    letter = 'q'
  end
  letters[#letters + 1] = letter
end
return table.concat(letters)
