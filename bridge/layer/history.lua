-- Returns whether the answer is complete, and run, seq and message of each stored fix of a device, newest first. KEYS: its stream, the
-- hash of last fixes (commit.lua). ARGV: device; run and seq after which, or "" and "" for the newest; how many at most.
local value = redis.call('HGET', KEYS[2], ARGV[1])
if not value then
  return {ARGV[2] == '' and 1 or 0}
end
local id, lastrun, lastseq, last = cmsgpack.unpack(value)
local most = tonumber(ARGV[4])
local answer, complete, floor = {0}, ARGV[2] == '', true
local n = 0
-- Each entry names the one before it of the same device.
while id ~= '' do
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if not entry then -- trimmed
    break
  end
  local _, device, _, run, _, seq, _, previous, _, message = unpack(entry[2])
  if run == ARGV[2] and seq == ARGV[3] then
    complete, floor = true, false
    break
  end
  if n == most then
    break
  end
  n = n + 1
  answer[3 * n - 1], answer[3 * n], answer[3 * n + 1] = run, seq, message
  floor = floor and not (run == lastrun and seq == lastseq)
  id = previous
end
if n == 0 and lastrun == ARGV[2] and lastseq == ARGV[3] then -- a vehicle that has been parked since
  complete, floor = true, false
end
-- The last fix stays when its entry is trimmed, and is not the newest one while a backlog comes.
if floor and most > 0 then
  n = math.min(n + 1, most)
  answer[3 * n - 1], answer[3 * n], answer[3 * n + 1] = lastrun, lastseq, last
end
answer[1] = complete and 1 or 0
return answer
