-- recover: take back the jobs whose lease ran out, one at a time, at most 100 jobs or 4 MiB a call.
--
-- A job goes back at its original due time, ahead of the backlog. If its worker still beats but does not
-- list the lease, the answer of a claim was lost: nothing ran, nothing is counted. Otherwise the run is
-- lost: it is counted apart from failures and streamed as a record; the last one allowed archives the job.
--
-- A job that was to be cancelled does not go back: it is archived.
--
-- Needs the includes archive, side, wake, lanes, unique and cancelling. `how` is {shard, lease_ms, max_losses, records ('1' = on), name}.
local function split_mark(mark)
  return string.match(mark or '', '^([^:]+):%d+:%d+:(%d+):(%d+):(%d+):?(.*)$')
end

local function still_beats(how, worker, lease_end)
  local seen = redis.call('HMGET', how.shard .. ':worker:' .. worker, 'beat', 'lease')
  local beat, lease_ms = tonumber(seen[1]), tonumber(seen[2]) or how.lease_ms
  -- The beat after the lease was last written would have listed it; two thirds of a lease is two beats.
  return beat and beat > lease_end - lease_ms + lease_ms / 3, beat
end

local function recover(base, how, now)
  local active = base .. ':active'
  local expired = redis.call('ZRANGE', active, '-inf', now - 1, 'BYSCORE', 'LIMIT', 0, 100, 'WITHSCORES')
  local bytes, lost = 0, {}
  local records, freed = {}, {}
  local asked = #expired > 0 and redis.call('EXISTS', how.shard .. ':cancels') == 1
  for i = 1, #expired, 2 do
    if bytes > 4194304 then break end
    local id, lease_end = expired[i], tonumber(expired[i + 1])
    local key = 'arq:in-progress:' .. id
    local worker, started, attempt, due, limits = split_mark(redis.call('GET', key))
    local cancelled = asked and redis.call('HDEL', how.shard .. ':cancels', id) == 1
    local payload = redis.call('GET', 'arq:job:' .. id)
    bytes = bytes + #(payload or '')
    if not worker then limits = limits_of(payload) end  -- its mark is gone; the lease counted all the same
    local text = redis.call('HGET', base .. ':side', id)
    local side = text and read_side(text) or {}
    side.p = nil  -- the progress of a run that is over
    local gone = false
    local alive, beat = true, nil
    if worker then
      alive, beat = still_beats(how, worker, lease_end)
      if not alive then
        side.n = tonumber(attempt)
        side.l = (side.l or 0) + 1
        side.w = side.w or {}
        side.w[#side.w + 1] = {worker, tonumber(started), beat or cjson.null}
        gone = cancelled or side.l >= how.max_losses
        local message = 'lost: worker ' .. worker .. ' fell silent'
        if cancelled then
          message = message .. '; this job was to be cancelled'
        elseif gone then
          message = message .. '; this job lost its worker ' .. side.l .. ' times'
        end
        if how.records == '1' or (gone and is_of_outbox(payload)) then
          records[#records + 1] = id
          records[#records + 1] = cjson.encode({'lost', id, how.name, tonumber(attempt), tonumber(due), tonumber(started),
            now, worker, gone and 'archived' or 'requeued', message}) .. '\n' .. (payload or '')
        end
        lost[#lost + 1] = id
        if gone then
          side.message, side.outcome, side.due = message, cancelled and 'cancelled' or 'lost', tonumber(due)
          local kind = cancelled and 'CancelledError' or 'LostError'
          local result = failed_result(payload, kind, message, {attempt, started, now}, how.name, id)
          archive(base, id, payload, cjson.encode(side), now)
          if result then redis.call('SET', 'arq:result:' .. id, result, 'PX', 3600000) end
        end
      end
    end
    redis.call('DEL', key)
    redis.call('ZREM', active, id)
    if limits and limits ~= '' then
      freed[limits] = (freed[limits] or 0) + 1
      if gone then unlock(how.shard, limits, id) end
    end
    if cancelled and alive then
      gone = true
      cancel_unrun(base, how, id, {payload = payload, side = side, due = tonumber(due) or now, limits = limits or ''}, now)
    end
    if gone then
      redis.call('ZREM', base, id)
    else
      if next(side) then redis.call('HSET', base .. ':side', id, cjson.encode(side)) else redis.call('HDEL', base .. ':side', id) end
      put_back(base, id, due or now, limits, now)
    end
  end
  if #records > 0 then redis.call('XADD', how.shard .. ':records', '*', unpack(records)) end
  if #lost > 0 then redis.call('HINCRBY', base .. ':stats', 'lost', #lost) end
  if next(freed) then let_go(how.shard, base, freed) end
  if #expired > 0 then wake(base) end  -- there are jobs again, or there is room under the queue's limit
  return lost
end
