-- clock: the only reader of time. Tests load a variant with an offset.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
