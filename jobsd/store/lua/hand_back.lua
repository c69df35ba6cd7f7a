-- hand_back: let jobs of an arq queue wait as arq's own workers know it: in the queue, with a time, and nowhere else.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2]   <base>    zset    id -> may run at, epoch ms
-- ARGV[1]   name of the queue
-- ARGV[2]   where the jobs were seen: '' in the queue, 'completed', or a line of it, as 'lane:<lane>', 'parked:<reason>'
-- ARGV[3…]  ids, at most 200
-- Returns   a letter for each: p arq reads its payload; j that is JSON; o also JSON, and it came from the outbox;
--           - it is none that waits. Error SERVED <worker>, or LEASED <how many>: nothing was done.
--@include clock
--@include room
--@include side
--@include lanes
--@include wake
local shard, base, line = KEYS[1], KEYS[2], ARGV[2]
local now, letters = clock(), {}
local SILENT_MS, ARQ_REMEMBERS_S = 60000, 88400

for _, worker in ipairs(redis.call('ZRANGE', shard .. ':workers', now - SILENT_MS, '+inf', 'BYSCORE')) do
  local queues = redis.call('HGET', shard .. ':worker:' .. worker, 'queues') or ''
  if string.find(' ' .. queues .. ' ', ' ' .. ARGV[1] .. ' ', 1, true) then return redis.error_reply('SERVED ' .. worker) end
end
local leases = redis.call('ZCARD', base .. ':active')
if leases > 0 then return redis.error_reply('LEASED ' .. leases) end
make_room(shard)

-- A result that jobsd would have forgotten at a time does so by itself.
local function let_expire(id)
  local ends = tonumber(redis.call('ZSCORE', base .. ':completed', id))
  if ends and redis.call('PTTL', 'arq:result:' .. id) == -1 then
    redis.call('PEXPIRE', 'arq:result:' .. id, math.max(1, ends - now))
  end
  redis.call('ZREM', base .. ':completed', id)
end

-- arq takes 0 for no score at all.
local function let_wait(id, score)
  local due = line ~= '' and redis.call('ZSCORE', base .. ':' .. line, id) or now
  local lane = string.match(line, '^lane:(.*)$')
  if score < 1 then redis.call('ZADD', base, math.max(1, score < -7e15 and tonumber(due) or 1), id) end
  if lane then leave_lane(base, lane, id) elseif line ~= '' then redis.call('ZREM', base .. ':' .. line, id) end
  redis.call('ZREM', base .. ':retry', id)
  local side = redis.call('HGET', base .. ':side', id)
  local failures = side and tonumber(read_side(side).f) or 0
  if failures > 0 then redis.call('SET', 'arq:retry:' .. id, failures, 'EX', ARQ_REMEMBERS_S) end
  redis.call('HDEL', base .. ':side', id)
  if redis.call('PTTL', 'arq:in-progress:' .. id) == -1 then redis.call('DEL', 'arq:in-progress:' .. id) end
end

for i = 3, #ARGV do
  local id, letter = ARGV[i], '-'
  local score = tonumber(redis.call('ZSCORE', base, id))
  if line == 'completed' then
    let_expire(id)
  elseif score then
    let_wait(id, score)
    local head = redis.call('GETRANGE', 'arq:job:' .. id, 0, 6)
    letter = head == '{"i":"o' and 'o' or string.byte(head) == 123 and 'j' or 'p'
  end
  letters[#letters + 1] = letter
end
return table.concat(letters)
