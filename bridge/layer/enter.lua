-- Makes nodes members of groups, and forgets those that do not renew their membership any more. KEYS: the groups. ARGV: for each group the
-- member; the beginning of the names of all nodes, the seconds for which a group stays, and the age from which a node is left over. A key that
-- is no group is left as it is: the other groups must be joined.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local mark, expiry, old = ARGV[#KEYS + 1], ARGV[#KEYS + 2], now - ARGV[#KEYS + 3]
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind == 'zset' or kind == 'none' then
    redis.call('ZADD', key, now, ARGV[i])
    if redis.call('TTL', key) < tonumber(expiry) then -- the application's may be longer
      redis.call('EXPIRE', key, expiry)
    end
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', old)) do
      if member:sub(1, #mark) == mark then
        redis.call('ZREM', key, member)
      end
    end
  end
end
return #KEYS
