"""What Redis does in one step for the inference queue: each script names one stream."""

__all__ = ["ADD", "DEPTH"]

_GROUP_OF = """
local function group_of(key, name)
  if redis.call('EXISTS', key) == 0 then return 0, '0-0' end
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local group = {}
    for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
    if group['name'] == name then return group['pending'], group['last-delivered-id'] end
  end
  return 0, '0-0'
end
"""

ADD = (
    "redis.replicate_commands()\n"
    + _GROUP_OF
    + """
local key, group, room, at = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local incoming = (#ARGV - 3) / 3
local pending, last = group_of(key, group)
room = room - (redis.call('XLEN', key) - pending)
local shed = {}
local from = '(' .. last
local looked = 0
while room < incoming and looked < 2000 do
  local page = redis.call('XRANGE', key, from, '+', 'COUNT', 100)
  if #page == 0 then break end
  for _, entry in ipairs(page) do
    from = '(' .. entry[1]
    looked = looked + 1
    local fields = {}
    for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
    if fields['must'] ~= '1' and room < incoming then
      redis.call('XDEL', key, entry[1])
      shed[#shed + 1] = fields['job']
      room = room + 1
    end
  end
end
-- What comes now is the youngest, and given up last: of it, too, the oldest first, and what must be done has first claim.
local musts = 0
for i = 4, #ARGV, 3 do if ARGV[i] == '1' then musts = musts + 1 end end
local skip = math.max(0, (incoming - musts) - math.max(0, room - musts))
local queued, deferred = 0, 0
for i = 4, #ARGV, 3 do
  if ARGV[i] ~= '1' and skip > 0 then
    skip = skip - 1
    shed[#shed + 1] = ARGV[i + 2]
  elseif room < 1 then
    deferred = deferred + 1
  else
    redis.call('XADD', key, '*', 'job', ARGV[i + 2], 'must', ARGV[i], 'tries', ARGV[i + 1], 'at', at)
    room = room - 1
    queued = queued + 1
  end
end
return {queued, deferred, shed}
"""
)
"""Adds jobs to a stream and keeps it within its bound.

KEYS: the stream. ARGV: the group, most that may wait, the time in ms, then for each job: 1 when it must be done, its tries, its bytes.
Answers how many were added, how many must be done and found no room, and the bytes of those that were shed.
"""

DEPTH = (
    _GROUP_OF
    + """
local pending, last = group_of(KEYS[1], ARGV[1])
local waiting = redis.call('XLEN', KEYS[1]) - pending
local at = '0'
local first = redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', 1)
if #first > 0 then
  for i = 1, #first[1][2], 2 do
    if first[1][2][i] == 'at' then at = first[1][2][i + 1] end
  end
end
return {waiting, pending, at}
"""
)
"""How much waits and runs. KEYS: the stream. ARGV: the group. Answers waiting, running, and when the oldest waiting one was added, ms."""
