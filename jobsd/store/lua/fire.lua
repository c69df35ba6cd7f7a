-- fire: write changes of schedules, each with its jobs, if it is in the version in which it was read.
--
-- KEYS[1]   <shard>    prefix
-- KEYS[2]   <entries>  hash    <shard>:schedules, or <shard>:spare while Postgres, which keeps them, is away
-- KEYS[3…]  <base>     zset    id -> may run at, epoch ms
-- ARGV[1]   outbox  '1': the jobs are such as come through the outbox, and may have come; its members say so
-- ARGV[2…]  name, version (0: there is to be none), state, tell ('1': all daemons are to look at it), how many lines, how
--           many jobs; then the lines of its history, the earliest first; then of each job: queue (index into KEYS from 3 is
--           1), id, due (epoch ms, '' now), payload. Repeated for each change, at most 200 jobs in all.
-- Returns   the names of those that were.
--
-- A job that is there, has left its result, or is known to have been there, was fired before: it is not stored again.
--@include clock
--@include wake
--@include lanes
--@include watch
local now = clock()
local shard, entries = KEYS[1], KEYS[2]
local spare = entries == shard .. ':spare'
local most = spare and 100000 or 50  -- lines of a history, which goes after 90 days without another
for q = 3, #KEYS do redis.call('ZCARD', KEYS[q]) end  -- fails, before anything is written, on a key that is no queue

local function store(base, id, due, payload)
  if redis.call('EXISTS', 'arq:job:' .. id, 'arq:result:' .. id) > 0 then return end
  if ARGV[1] == '1' then
    local member = id .. ' ' .. string.sub(payload, 7, 18)
    if redis.call('ZSCORE', shard .. ':outbox', member) then return end
    redis.call('ZADD', shard .. ':outbox', now + 120000, member)
  end
  due = due == '' and now or tonumber(due)
  redis.call('SET', 'arq:job:' .. id, payload)
  redis.call('ZADD', base, due, id)
  redis.call('SADD', shard .. ':queues', base)
  if due <= now or is_news(shard, base, due, now) then wake(base) end
end

local applied, told, i = {}, false, 2
while i <= #ARGV do
  local name, version, state = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local lines, jobs = tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
  local at, stored = i + 6, redis.call('HGET', entries, name)
  local head, rest = string.match(stored or '0\n\n\n\n\n', '^(%d+)\n(.-\n.-\n.-\n.-\n)')
  if head == version then
    redis.call('HSET', entries, name, string.format('%d', tonumber(version) + 1) .. '\n' .. rest .. state)
    told = told or ARGV[i + 3] == '1'
    applied[#applied + 1] = name
    local history = shard .. (spare and ':spared:' or ':schedule:') .. name
    if lines > 0 then
      for n = at, at + lines - 1 do redis.call('LPUSH', history, ARGV[n]) end
      redis.call('LTRIM', history, 0, most - 1)
      if not spare then redis.call('PEXPIRE', history, 7776000000) end
    end
    for n = at + lines, at + lines + 4 * jobs - 1, 4 do
      store(KEYS[tonumber(ARGV[n]) + 2], ARGV[n + 1], ARGV[n + 2], ARGV[n + 3])
    end
  end
  i = at + lines + 4 * jobs
end
if told then redis.call('HINCRBY', shard .. ':state', 'schedules', 1) end
return applied
