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

-- Does a new job fall due before anybody comes? Who comes earlier learns its time then.
local function is_news(shard, base, due, now)
  local watched = split_watch(redis.call('HGET', shard .. ':state', 'watch:' .. base) or '')
  return not watched or due < watched or watched <= now - 500
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

-- The least score of a queue that is a time. It may be that of a running job, where its lease ends. With lanes it
-- may also be the time at which one opens, and 0 if one is open.
local function head_of(base, no_lanes)
  local head = tonumber(redis.call('ZRANGE', base, -7e15, '(9e15', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')[2])
  if no_lanes or redis.call('EXISTS', base .. ':turns', base .. ':closed') == 0 then return head end
  if redis.call('EXISTS', base .. ':turns') == 1 then return 0 end
  local opens = tonumber(redis.call('ZRANGE', base .. ':closed', 0, 0, 'WITHSCORES')[2])
  if opens >= 9000000000000000 then return head end
  return head and math.min(head, opens) or opens
end
