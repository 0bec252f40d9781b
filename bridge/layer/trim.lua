-- Trims a stream to what is younger than keep, or not acknowledged by all of its consumer groups. KEYS: the stream. ARGV: keep in
-- milliseconds. Returns the name of the group that keeps older entries, and by how many milliseconds the oldest is too old; "" and 0
-- without one.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'', 0}
end
local time = redis.call('TIME')
local keep = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1]
local ms, n, slow = keep, 0, ''
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #info, 2 do
    group[info[i]] = info[i + 1]
  end
  local oldest = group['last-delivered-id']
  if group.pending > 0 then
    oldest = redis.call('XPENDING', KEYS[1], group.name)[2]
  end
  local first, second = string.match(oldest, '(%d+)-(%d+)')
  first, second = tonumber(first), tonumber(second)
  if first < ms or first == ms and second < n then
    ms, n, slow = first, second, group.name
  end
end
redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f-%.0f', ms, n), 'LIMIT', 0)
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local lag = oldest and keep - string.match(oldest[1], '%d+') or 0
if slow == '' or lag <= 0 then
  return {'', 0}
end
return {slow, lag}
