-- Stores fixes, all or none. KEYS: the epoch; for each fix its stream, the hash of last fixes, and the part of the device's run
-- that its bit is in. ARGV: the epoch that the caller knows, the milliseconds for which repeats are recognised; for each fix
-- device, run, seq, bit, "1" for a backlog fix, message.
--
-- Returns stream and ID of the last entry, "" and "" where all were repeats.
--
-- A value of the hash is four objects of msgpack: ID of the device's newest entry; run, seq and message of its last fix.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('EPOCH this server has lost data')
end

-- later reports whether a fix follows the last one of its device, as bridge/relay has it: in a run by seq, unless that is absurdly far
-- back; in another run if it is not from a backlog.
local function later(run, seq, backlog, lastrun, lastseq)
  if run == lastrun then
    local ahead = tonumber(seq) - tonumber(lastseq)
    return ahead > 0 or ahead < -10000000
  end
  return backlog ~= '1'
end

local newest = {'', ''} -- stream and ID of the last entry
for i = 0, (#ARGV - 2) / 6 - 1 do
  local stream, hash, seen = KEYS[3 * i + 2], KEYS[3 * i + 3], KEYS[3 * i + 4]
  local a = 6 * i + 3
  local device, run, seq, message = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 5]
  if redis.call('GETBIT', seen, ARGV[a + 3]) == 0 then
    local value = redis.call('HGET', hash, device)
    local previous, lastrun, lastseq, last = '', run, seq, message
    if value then
      previous, lastrun, lastseq, last = cmsgpack.unpack(value)
      if later(run, seq, ARGV[a + 4], lastrun, lastseq) then
        lastrun, lastseq, last = run, seq, message
      end
    end
    local id = redis.call('XADD', stream, '*', 'device_id', device, 'run', run, 'seq', seq, 'previous', previous, 'message', message)
    newest = {stream, id}
    redis.call('HSET', hash, device, cmsgpack.pack(id, lastrun, lastseq, last))
    -- After all that may fail: what is marked counts as stored.
    redis.call('SETBIT', seen, ARGV[a + 3], 1)
  end
  -- For a repeat too: WAIT waits for what its own connection has written, and the first copy may not be replicated yet.
  redis.call('PEXPIRE', seen, ARGV[2])
end
return newest
