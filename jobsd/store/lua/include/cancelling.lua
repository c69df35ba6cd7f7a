-- cancelling: archive a job before a run that it will not have; that run is recorded as cancelled.
--
-- The caller takes it out of <base> and its lane. `how` is {shard, records ('1' = on), name}.
-- Needs the includes archive and unique.
local function cancel_unrun(base, how, id, job, now)
  local payload, side, due, limits = job.payload, job.side, job.due, job.limits
  side.n, side.p = (side.n or 0) + 1, nil
  side.e = {'CancelledError', 'cancelled'}
  side.message, side.outcome, side.due = 'cancelled', 'cancelled', due
  if how.records == '1' or is_of_outbox(payload) then
    redis.call('XADD', how.shard .. ':records', '*', id, cjson.encode({'cancelled', id, how.name, side.n, due, now, now,
      '', 'archived', 'cancelled'}) .. '\n' .. (payload or ''))
  end
  archive(base, id, payload, cjson.encode(side), now)
  local result = failed_result(payload, 'CancelledError', 'cancelled', {side.n, now, now}, how.name, id)
  if result then redis.call('SET', 'arq:result:' .. id, result, 'PX', 3600000) end
  if limits then
    unlock(how.shard, limits, id)
    shut(how.shard, limits, id)
  end
end
