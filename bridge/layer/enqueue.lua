-- Writes events to queues as long as there is room. KEYS: the queues. ARGV: the capacity of a queue, the seconds for which an event stays; for
-- each queue the number of its events; the events of the first queue, of the second, and so on.
--
-- Returns for each queue how many it took, and -1 - n in place of n where events have expired in it, unread. A key that is no queue has no room.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local taken, at = {}, 2 + #KEYS
for i, key in ipairs(KEYS) do
  local expired = redis.pcall('ZREMRANGEBYSCORE', key, '-inf', now - ARGV[2])
  local count, room = tonumber(ARGV[2 + i]), 0
  if type(expired) == 'number' then
    room = math.min(count, math.max(0, ARGV[1] - redis.call('ZCARD', key)))
  elseif not expired.err:find('WRONGTYPE', 1, true) then
    return expired
  end
  for j = at + 1, at + room do
    redis.call('ZADD', key, now, ARGV[j])
  end
  if room > 0 then
    redis.call('EXPIRE', key, ARGV[2])
  end
  taken[i] = expired ~= 0 and type(expired) == 'number' and -1 - room or room
  at = at + count
end
return taken
