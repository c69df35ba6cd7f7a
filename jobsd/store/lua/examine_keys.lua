-- examine_keys: keys whose owner is gone, or that would stay for ever; removed, or given an end, at once.
--
-- KEYS[1]   <shard>   prefix
-- ARGV[1]   '1' to mend
-- ARGV[2…]  kind, key; repeated, at most 200
--           kind: unique, open (see unique), worker (a worker's), ends (any other that is to end by itself)
-- Returns   kind of trouble, key, 'mended' or 'can' (be mended); repeated.
--@include clock
--@include room
--@include lanes
--@include wake
local shard, mend = KEYS[1], ARGV[1] == '1'
local HOUR_MS = 3600000
local now, answer = clock(), {}
if mend then make_room(shard) end

local function put_right(kind, key, how)
  if mend then how() end
  for _, part in ipairs({kind, key, mend and 'mended' or 'can'}) do answer[#answer + 1] = part end
end

local function is_limited(id, sign)
  local limits = limits_of(redis.call('GETRANGE', 'arq:job:' .. id, 0, 4095))
  return limits and string.find(limits, sign, 1, true)
end

local function last_word(key) return string.match(key, '([^:]+)$') end

for i = 2, #ARGV, 2 do
  local kind, key = ARGV[i], ARGV[i + 1]
  if kind == 'unique' then
    local holder = redis.call('GET', key)
    local id = holder and string.match(holder, ' (.+)$')
    if holder and not (id and is_limited(id, 'u=' .. last_word(key) .. '/')) then
      put_right('key_without_holder', key, function() redis.call('DEL', key) end)
    end
  elseif kind == 'open' then
    local base, id = unpack(redis.call('HMGET', key, 'base', 'id'))
    if redis.call('EXISTS', key) == 1 and not (base and id and redis.call('ZSCORE', base, id)
        and redis.call('EXISTS', 'arq:in-progress:' .. id) == 0 and is_limited(id, 'o=' .. last_word(key))) then
      put_right('key_without_holder', key, function() redis.call('DEL', key) end)
    end
  elseif redis.call('PTTL', key) == -1 then
    local beat = kind == 'worker' and tonumber(redis.call('ZSCORE', shard .. ':workers', last_word(key))) or 0
    if beat < now - 60000 then put_right('endless_key', key, function() redis.call('PEXPIRE', key, HOUR_MS) end) end
  end
end
return answer
