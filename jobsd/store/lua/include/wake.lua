-- wake: one token wakes one idle worker; who finds more than it can take passes a token on.
local function wake(base)
  if redis.call('LLEN', base .. ':wake') == 0 then
    redis.call('LPUSH', base .. ':wake', '1')
  end
end
