-- limit: say what limits a queue or a resource: by configuration, at run time (which wins), or by configuration again.
--
-- KEYS[1]  <shard>  prefix
-- KEYS[2]  <base>   zset    id -> may run at, epoch ms; the resource is meant where it is missing
-- ARGV[1]  'r=<resource>', or ''
-- ARGV[2]  'config', 'set' or 'reset'
-- ARGV[3]  a limits text, see limits; for 'set' a field '*' keeps what is in effect
-- Returns  the text that is in effect now; '' for none.
--@include room
--@include wake
--@include lanes
local shard, name = KEYS[1], KEYS[2] or ARGV[1]
make_room(shard)
local state, how, text = shard .. ':state', ARGV[2], ARGV[3]
local NONE = ':::::||'
local FIELDS = '^([^:|]*):([^:|]*):([^:|]*):([^:|]*):([^:|]*):([^:|]*)|([^|]*)|(.*)$'
local before = redis.call('HGET', state, 'limits:' .. name) or ''

local function keep(kind, value)
  if value == '' then redis.call('HDEL', state, kind .. name) else redis.call('HSET', state, kind .. name, value) end
end

if how == 'config' then
  keep('limits-config:', text == NONE and '' or text)
elseif how == 'reset' then
  keep('limits-set:', '')
else
  local given, old = {string.match(text, FIELDS)}, {string.match(before == '' and NONE or before, FIELDS)}
  if #given ~= 8 then return redis.error_reply('no limits text: ' .. text) end
  for i = 1, 8 do if given[i] == '*' then given[i] = old[i] end end
  keep('limits-set:', table.concat(given, ':', 1, 6) .. '|' .. given[7] .. '|' .. given[8])
end
local now = redis.call('HGET', state, 'limits-set:' .. name) or redis.call('HGET', state, 'limits-config:' .. name) or ''
if now == NONE then now = '' end
keep('limits:', now)
if now ~= before then
  for _, base in ipairs(KEYS[2] and {KEYS[2]} or redis.call('SMEMBERS', shard .. ':queues')) do
    for _, lane in ipairs(redis.call('ZRANGE', base .. ':closed', 0, -1)) do
      if KEYS[2] or string.find(',' .. lane .. ',', ',' .. ARGV[1] .. ',', 1, true) then open_lane(base, lane) end
    end
    wake(base)
  end
end
return now
