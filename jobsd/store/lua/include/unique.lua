-- unique: locks of jobs that are to be the only one of their kind.
--
-- <shard>:unique:<digest> is "<base> <id>" of the job that holds the key; it ends with the job, or after its time.
-- <shard>:open:<digest> has the base and id of the job that still takes calls in; it ends when that job is claimed.
-- An id belongs to one job at a time, so the id tells whose the lock is.
local function unlock(shard, limits, id)
  local digest = string.match(limits, 'u=(%x+)/')
  if not digest then return end
  local key = shard .. ':unique:' .. digest
  local holder = redis.call('GET', key)
  if holder and string.match(holder, ' (.+)$') == id then redis.call('DEL', key) end
end

-- Take no more calls into this job.
local function shut(shard, limits, id)
  local digest = string.match(limits, 'o=(%x+)')
  if digest and redis.call('HGET', shard .. ':open:' .. digest, 'id') == id then
    redis.call('DEL', shard .. ':open:' .. digest)
  end
end
