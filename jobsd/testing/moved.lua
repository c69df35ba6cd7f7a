-- moved: stands for clock.lua under a clock that a test has moved.
--
-- It is $AHEAD ms ahead of the server. What ends by the server's own clock (results, unique keys, throttles) is brought
-- as much nearer to its end, by the first script that comes after a move. $KEY holds how far that has been done.
do
  local aged = tonumber(redis.call('GET', '$KEY') or '0')
  if aged < $AHEAD then
    for _, pattern in ipairs({'arq:result:*', 'jobsd:{*}::unique:*', 'jobsd:{*}::throttle:*'}) do
      for _, key in ipairs(redis.call('KEYS', pattern)) do
        local left = redis.call('PTTL', key)
        if left >= 0 then redis.call('PEXPIRE', key, string.format('%.0f', math.max(left - ($AHEAD - aged), 0))) end
      end
    end
    redis.call('SET', '$KEY', '$AHEAD', 'PX', 86400000)
  end
end
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000) + $AHEAD
end
