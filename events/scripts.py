"""The Lua scripts of the event log: each is one round trip and happens whole or not at all.

A log is two keys: the stream, and a hash beside it with the newest id (`tail`) and a field for each run still writing.
A third one a run remembers who wrote what of it.
"""

# KEYS: stream, head, the run's. ARGV: longest length, oldest age (ms), ms to keep it once no run writes, ms to keep it
# before, run id, whether this ends the run, channel, ring, attempt, batch; then (event, field, data) of each part.
# Answers the last part's id. The second number of an id counts the log's parts, so that a reader sees a gap;
# milliseconds never go back. A batch that is sent again because its answer got lost is not written twice, and what an
# old attempt sends when a later one writes already, or the run is over, is not written at all: the answer is nil.
APPEND = """
local attempt, batch = tonumber(ARGV[9]), tonumber(ARGV[10])
local known = attempt > 0 and redis.call('GET', KEYS[3])
if known then
    local by, written, id = string.match(known, '(%d+) (%d+) (.+)')
    if tonumber(by) > attempt then return false end
    if tonumber(by) == attempt and tonumber(written) >= batch then return id end
end
local tail = redis.call('HGET', KEYS[2], 'tail')
local exists = redis.call('EXISTS', KEYS[1]) == 1
if exists and not tail then
    tail = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1]
end
local ms, number = string.match(tail or '0-0', '(%d+)-(%d+)')
ms, number = tonumber(ms), exists and tonumber(number) or 0
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
if now > ms then ms = now end
for i = 11, #ARGV, 3 do
    number = number + 1
    tail = string.format('%.0f-%.0f', ms, number)
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], tail, 'r', ARGV[5], 'e', ARGV[i], ARGV[i + 1], ARGV[i + 2])
end
redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', ms - ARGV[2]))
redis.call('HSET', KEYS[2], 'tail', tail)
if ARGV[6] == '1' then
    redis.call('HDEL', KEYS[2], ARGV[5])
else
    redis.call('HSET', KEYS[2], ARGV[5], '1')
end
local keep = redis.call('HLEN', KEYS[2]) > 1 and ARGV[4] or ARGV[3]
redis.call('PEXPIRE', KEYS[1], keep)
redis.call('PEXPIRE', KEYS[2], keep)
if attempt > 0 then
    redis.call('SET', KEYS[3], string.format('%.0f %.0f %s', attempt, batch, tail), 'PX', keep)
end
redis.call('PUBLISH', ARGV[7], ARGV[8])
return tail
"""

# KEYS: stream, head. Answers the id of the newest part; nil when there is none.
TAIL = """
local tail = redis.call('HGET', KEYS[2], 'tail')
if not tail then
    local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
    tail = newest[1] and newest[1][1]
end
return tail
"""

# KEYS: streams. ARGV: a position in each. Answers for each whether there is something behind.
NEWS = """
local found = {}
for i = 1, #KEYS do
    found[i] = #redis.call('XRANGE', KEYS[i], '(' .. ARGV[i], '+', 'COUNT', 1)
end
return found
"""

# KEYS: stream, head. ARGV: channel, ring.
DELETE = """
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('PUBLISH', ARGV[1], ARGV[2])
"""
