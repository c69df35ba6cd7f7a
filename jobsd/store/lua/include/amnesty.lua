-- amnesty: was everybody silent? Then nobody is to be taken for dead.
--
-- When no claim, extend or recover was seen for half a lease, or time went backwards, the server itself
-- was away (or is freshly started): for one lease nothing is recovered, so that whoever comes back can
-- first write its endings and prolong its leases. Returns true while that lasts.
local function amnesty(shard, now, lease_ms)
  local state = shard .. ':state'
  local seen = redis.call('HMGET', state, 'seen', 'amnesty')
  local last, ends = tonumber(seen[1]), tonumber(seen[2]) or 0
  if not last or now - last > lease_ms / 2 or now < last - 1000 then
    ends = now + lease_ms
    redis.call('HSET', state, 'amnesty', ends)
  end
  if last ~= now then redis.call('HSET', state, 'seen', now) end
  return now < ends
end
