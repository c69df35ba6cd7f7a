-- examine_lanes: lanes whose jobs would never have their turn, and turns of lanes that have no jobs; mended at once.
--
-- KEYS[1]   <shard>   prefix
-- KEYS[2]   <base>    zset    id -> may run at, epoch ms
-- ARGV[1]   '1' to mend
-- ARGV[2…]  lane, and the limit behind which it was seen or ''; repeated, at most 100
-- Returns   kind, lane, 'mended' or 'can' (be mended); repeated.
--@include room
--@include wake
--@include lanes
local shard, base, mend = KEYS[1], KEYS[2], ARGV[1] == '1'
local NEVER = 9000000000000000
local turns, closed = base .. ':turns', base .. ':closed'
local answer = {}
if mend then make_room(shard) end

local function put_right(kind, lane, how)
  if mend then how() end
  for _, part in ipairs({kind, lane, mend and 'mended' or 'can'}) do answer[#answer + 1] = part end
end

-- Lanes that have a turn, or open at a time, come to their limits by themselves.
local function comes_somebody()
  return redis.call('EXISTS', turns) == 1 or redis.call('ZCOUNT', closed, '-inf', '(' .. NEVER) > 0
end

for i = 2, #ARGV, 2 do
  local lane, seen_behind = ARGV[i], ARGV[i + 1]
  local has_jobs = redis.call('EXISTS', base .. ':lane:' .. lane) == 1
  local turn, opens = redis.call('ZSCORE', turns, lane), tonumber(redis.call('ZSCORE', closed, lane))
  local limits, waits, held = {}, false, false
  for limit in each_limit(lane) do
    limits[limit] = true
    local line = base .. ':behind:' .. limit
    if redis.call('ZSCORE', line, lane) then
      if not has_jobs or turn or opens ~= NEVER then
        put_right('stray_turn', lane, function() redis.call('ZREM', line, lane) end)
      else
        waits = true
        local owner = owner_of(limit, shard, base)
        held = held or (tonumber(redis.call('HGET', owner .. ':held', limit)) or 0) > 0
      end
    end
  end
  if seen_behind ~= '' and not limits[seen_behind] and redis.call('ZSCORE', base .. ':behind:' .. seen_behind, lane) then
    put_right('stray_turn', lane, function() redis.call('ZREM', base .. ':behind:' .. seen_behind, lane) end)
  end
  if not has_jobs or (turn and opens) then
    if turn and not has_jobs then put_right('stray_turn', lane, function() redis.call('ZREM', turns, lane) end) end
    if opens then put_right('stray_turn', lane, function() redis.call('ZREM', closed, lane) end) end
  elseif not turn and not opens then
    put_right('idle_lane', lane, function()
      take_turn(base, lane)
      wake(base)
    end)
  elseif opens == NEVER and (not waits or not (held or comes_somebody())) then
    put_right('idle_lane', lane, function() open_lane(base, lane) end)  -- who claims closes it again, if it is full
  end
end
return answer
