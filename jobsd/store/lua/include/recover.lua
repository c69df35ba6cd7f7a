-- recover: take back the jobs whose lease ran out, one at a time, at most 100 jobs or 4 MiB a call.
--
-- A job goes back at its original due time, ahead of the backlog. If its worker still beats but does not
-- list the lease, the answer of a claim was lost: nothing ran, nothing is counted. Otherwise the run is
-- lost: it is counted apart from failures and streamed as a record; the last one allowed archives the job.
--
-- Needs the includes archive, side and wake. `how` is {shard, lease_ms, max_losses, records ('1' = on), name}.
local function split_mark(mark)
  local worker, started, attempt, due = string.match(mark or '', '^([^:]+):%d+:%d+:(%d+):(%d+):(.+)$')
  return worker, started, attempt, due
end

local function still_beats(how, worker, lease_end)
  local seen = redis.call('HMGET', how.shard .. ':worker:' .. worker, 'beat', 'lease')
  local beat, lease_ms = tonumber(seen[1]), tonumber(seen[2]) or how.lease_ms
  -- The beat after the lease was last written would have listed it; two thirds of a lease is two beats.
  return beat and beat > lease_end - lease_ms + lease_ms / 3, beat
end

local function lost_result(payload, attempt, message, started, now, name, id)
  if not payload or string.sub(payload, 1, 5) ~= '{"i":' then return nil end
  return string.sub(payload, 1, -2) .. ',"t":' .. attempt .. ',"s":false,"r":' .. cjson.encode({type = 'LostError', message = message})
    .. ',"st":' .. started .. ',"ft":' .. now .. ',"q":' .. cjson.encode(name) .. ',"id":' .. cjson.encode(id) .. '}'
end

local function recover(base, how, now)
  local active = base .. ':active'
  local expired = redis.call('ZRANGE', active, '-inf', now - 1, 'BYSCORE', 'LIMIT', 0, 100, 'WITHSCORES')
  local bytes, back, lost = 0, 0, {}
  local records = {}
  for i = 1, #expired, 2 do
    if bytes > 4194304 then break end
    local id, lease_end = expired[i], tonumber(expired[i + 1])
    local key = 'arq:in-progress:' .. id
    local worker, started, attempt, due = split_mark(redis.call('GET', key))
    local payload = redis.call('GET', 'arq:job:' .. id)
    bytes = bytes + #(payload or '')
    local text = redis.call('HGET', base .. ':side', id)
    local side = text and read_side(text) or {}
    side.p = nil  -- the progress of a run that is over
    local gone = false
    local alive, beat
    if worker then
      alive, beat = still_beats(how, worker, lease_end)
      if not alive then
        side.n = tonumber(attempt)
        side.l = (side.l or 0) + 1
        side.w = side.w or {}
        side.w[#side.w + 1] = {worker, tonumber(started), beat or cjson.null}
        gone = side.l >= how.max_losses
        local message = 'lost: worker ' .. worker .. ' fell silent'
        if gone then message = message .. '; this job lost its worker ' .. side.l .. ' times' end
        if how.records == '1' then
          records[#records + 1] = id
          records[#records + 1] = cjson.encode({'lost', id, how.name, tonumber(attempt), tonumber(due), tonumber(started),
            now, worker, gone and 'archived' or 'requeued', message}) .. '\n' .. (payload or '')
        end
        lost[#lost + 1] = id
        if gone then
          side.message, side.outcome, side.due = message, 'lost', tonumber(due)
          local result = lost_result(payload, attempt, message, started, now, how.name, id)
          archive(base, id, payload, cjson.encode(side), now)
          if result then redis.call('SET', 'arq:result:' .. id, result, 'PX', 3600000) end
        end
      end
    end
    redis.call('DEL', key)
    redis.call('ZREM', active, id)
    if gone then
      redis.call('ZREM', base, id)
    else
      if next(side) then redis.call('HSET', base .. ':side', id, cjson.encode(side)) else redis.call('HDEL', base .. ':side', id) end
      redis.call('ZADD', base, due or now, id)
      back = back + 1
    end
  end
  if #records > 0 then redis.call('XADD', how.shard .. ':records', '*', unpack(records)) end
  if #lost > 0 then redis.call('HINCRBY', base .. ':stats', 'lost', #lost) end
  if back > 0 then wake(base) end
  return lost
end
