-- Takes members out of a group that joined it longer ago than their membership lasts. KEYS: the group. ARGV: the seconds that it lasts; the
-- members.
local old = redis.call('TIME')[1] - ARGV[1]
for i = 2, #ARGV do
  local joined = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if joined and tonumber(joined) < old then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return 0
