-- watch: of the idle workers of a queue, one is there when its next job falls due; the others need not come.
--
-- The field watch:<base> of <shard>:state is "<due>:<worker>". A watch is good while its worker beats, until half a
-- second after its time, and if no job falls due before it; else who claims next takes it over.
local function split_watch(text)
  local due, worker = string.match(text or '', '^(%d+):(.+)$')
  return tonumber(due), worker
end

-- Will another worker be there at `due`?
local function is_watched(shard, worker, text, due, now, lease_ms)
  local watched, watcher = split_watch(text)
  if not watcher or watcher == worker or watched > due or watched <= now - 500 then return false end
  local beat = tonumber(redis.call('HGET', shard .. ':worker:' .. watcher, 'beat'))
  return beat and now - beat < lease_ms
end

local function keep_watch(shard, base, worker, text, due)
  local watched, watcher = split_watch(text)
  if watcher ~= worker or watched ~= due then
    redis.call('HSET', shard .. ':state', 'watch:' .. base, string.format('%.0f:%s', due, worker))
  end
end

local function leave_watch(shard, base, worker, text)
  local _, watcher = split_watch(text)
  if watcher ~= worker then return false end
  redis.call('HDEL', shard .. ':state', 'watch:' .. base)
  return true
end

-- The least score of a queue that is a time. It may be that of a running job, where its lease ends.
local function head_of(base)
  local head = tonumber(redis.call('ZRANGE', base, 0, 0, 'WITHSCORES')[2])
  return head and head < 9e15 and head or nil
end
