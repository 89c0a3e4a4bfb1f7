"""The Lua scripts of the shared state. Times are milliseconds of the server's own clock."""

__all__ = [
    "BLOCKS",
    "FAIL",
    "FORGET",
    "GIVE_BACK",
    "HANDED_IN",
    "HAND_IN",
    "KEEP",
    "NUMBERS",
    "PUT",
    "TAKE",
    "TEXT",
    "WELCOME",
]

_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

# KEYS: text.  ARGV: text, lifetime, 1 to keep the one in force.  -> text, age, time left
KEEP = (
    _NOW
    + """
if ARGV[3] == '1' and redis.call('EXISTS', KEYS[1]) == 1 then
    local found = redis.call('HMGET', KEYS[1], 'text', 'at')
    return {found[1], now - found[2], redis.call('PTTL', KEYS[1])}
end
redis.call('HSET', KEYS[1], 'text', ARGV[1], 'at', now)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {ARGV[1], 0, tonumber(ARGV[2])}
"""
)

# KEYS: text.  -> text, age, time left; nothing if there is none
TEXT = (
    _NOW
    + """
local found = redis.call('HMGET', KEYS[1], 'text', 'at')
if not found[1] then return {} end
return {found[1], now - found[2], redis.call('PTTL', KEYS[1])}
"""
)

# The numbers of a group are one hash: `n NAME` is the value, `u NAME` the end of its lifetime, `since` the first count.
_GROUP = (
    _NOW
    + """
local function value(name)
    local found = redis.call('HMGET', KEYS[1], 'n ' .. name, 'u ' .. name)
    if found[1] and tonumber(found[2]) > now then return tonumber(found[1]), tonumber(found[2]) end
    return 0, 0
end
local function lasts(key, until_)
    local left = redis.call('PTTL', key)
    if left < until_ - now then redis.call('PEXPIREAT', key, string.format('%.0f', until_)) end
end
local function put(name, number, until_)
    redis.call('HSET', KEYS[1], 'n ' .. name, string.format('%.0f', number))
    redis.call('HSET', KEYS[1], 'u ' .. name, string.format('%.0f', until_))
    lasts(KEYS[1], until_)
end
local function begin(group, index)
    local since = redis.call('HGET', KEYS[1], 'since')
    if not since then since = string.format('%.0f', now); redis.call('HSET', KEYS[1], 'since', since) end
    lasts(KEYS[1], now + 34560000000)
    redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
    redis.call('ZADD', index, string.format('%.0f', now + 34560000000), group)
    lasts(index, now + 34560000000)
    return since
end
"""
)

# KEYS: group, seen, index.  ARGV: group, number of amounts, (name, number, lifetime, most)…, then for new words:
# lifetime, name, lifetime of the amount, most, grace, word…  -> since, now, values…, over…, new…
TAKE = (
    _GROUP
    + """
local amounts, at = {}, 3
for i = 1, ARGV[2] do
    amounts[i] = {ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])}
    at = at + 4
end
local new, first = {}, at + 5
if #ARGV >= at then
    local known = {}
    for i = first, #ARGV do
        local score = redis.call('ZSCORE', KEYS[2], ARGV[i])
        if not known[ARGV[i]] and (not score or tonumber(score) <= now) then new[#new + 1] = ARGV[i] end
        known[ARGV[i]] = true
    end
    local since = tonumber(redis.call('HGET', KEYS[1], 'since') or now)
    local most = tonumber(ARGV[at + 3])
    if now - since < tonumber(ARGV[at + 4]) then most = 0 end
    amounts[#amounts + 1] = {ARGV[at + 1], #new, tonumber(ARGV[at + 2]), most}
end
local values, over = {}, {}
for i, each in ipairs(amounts) do
    values[i] = value(each[1])
    if each[4] > 0 and values[i] + each[2] > each[4] then over[#over + 1] = each[1] end
end
local since = begin(ARGV[1], KEYS[3])
if #over == 0 then
    if #ARGV >= first then
        local until_ = now + tonumber(ARGV[at])
        redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
        for i = first, #ARGV do redis.call('ZADD', KEYS[2], string.format('%.0f', until_), ARGV[i]) end
        lasts(KEYS[2], until_)
    end
    for i, each in ipairs(amounts) do
        if each[2] ~= 0 then
            local number, until_ = value(each[1])
            if until_ == 0 then until_ = now + each[3] end
            values[i] = number + each[2]
            put(each[1], values[i], until_)
        end
    end
end
return {since, string.format('%.0f', now), values, over, new}
"""
)

# KEYS: group, seen.  ARGV: number of names, (name, number)…, word…
GIVE_BACK = (
    _GROUP
    + """
local at = 2
for i = 1, ARGV[1] do
    local number, until_ = value(ARGV[at])
    if until_ > 0 then put(ARGV[at], math.max(number - ARGV[at + 1], 0), until_) end
    at = at + 2
end
for i = at, #ARGV do redis.call('ZREM', KEYS[2], ARGV[i]) end
return 1
"""
)

# KEYS: group.  ARGV: name…  -> “now value end value end …”: one text, because greylisting asks for many
NUMBERS = (
    _NOW
    + """
local fields, said = {}, {string.format('%.0f', now)}
for i, name in ipairs(ARGV) do fields[2 * i - 1], fields[2 * i] = 'n ' .. name, 'u ' .. name end
local found = redis.call('HMGET', KEYS[1], unpack(fields))
for i = 1, #fields, 2 do
    local lasts = found[i] and tonumber(found[i + 1]) > now
    said[i + 1], said[i + 2] = lasts and found[i] or '0', lasts and found[i + 1] or '0'
end
return table.concat(said, ' ')
"""
)

# KEYS: group, index.  ARGV: group, name, value, lifetime
PUT = (
    _GROUP
    + """
begin(ARGV[1], KEYS[2])
put(ARGV[2], ARGV[3], now + tonumber(ARGV[4]))
if now % 64 == 0 then  -- now and then, remove the numbers whose lifetime has ended
    local all = redis.call('HGETALL', KEYS[1])
    for i = 1, #all, 2 do
        if string.sub(all[i], 1, 2) == 'u ' and tonumber(all[i + 1]) <= now then
            redis.call('HDEL', KEYS[1], all[i], 'n ' .. string.sub(all[i], 3))
        end
    end
end
return 1
"""
)

# KEYS: group, text…  ARGV: name…
FORGET = """
for i, name in ipairs(ARGV) do redis.call('HDEL', KEYS[1], 'n ' .. name, 'u ' .. name) end
for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
return 1
"""

# KEYS: failures of a client, its last login.  ARGV: kind and failure, kind, window, most.  -> number, -1 for a client
# that has logged in lately
FAIL = (
    _NOW
    + """
local window = tonumber(ARGV[3])
local login = redis.call('GET', KEYS[2])
if login and now - login <= (ARGV[2] == 'L' and window or 86400000) then return -1 end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1001)
redis.call('PEXPIRE', KEYS[1], window)
local number = 0
for _, each in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if string.sub(each, 1, 1) == ARGV[2] then number = number + 1 end
end
if number >= tonumber(ARGV[4]) then redis.call('DEL', KEYS[1]) end
return number
"""
)

# KEYS: last login.
WELCOME = _NOW + "return redis.call('SET', KEYS[1], string.format('%.0f', now), 'PX', 86400000)\n"

# Blocks: a hash each, and an index of them. One that was ended by hand stays, with the time 0, until its first end.
# KEYS: version, index.  ARGV: prefix of the blocks, known version, then for each change: HMAC, IP, time left, reason;
# a time below 0 ends the block. -> version, blocks as lists of IP, time left (0: ended by hand), reason, age; no blocks
# if the version is the known one
BLOCKS = (
    _NOW
    + """
for i = 3, #ARGV, 4 do
    local key, left = ARGV[1] .. ARGV[i], tonumber(ARGV[i + 2])
    local until_ = string.format('%.0f', now + math.abs(left))
    redis.call('HSET', key, 'ip', ARGV[i + 1], 'reason', ARGV[i + 3], 'at', now, 'until', left > 0 and until_ or '0')
    redis.call('PEXPIREAT', key, until_)
    redis.call('ZADD', KEYS[2], until_, ARGV[i])
    redis.call('INCR', KEYS[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
if last[2] then redis.call('PEXPIREAT', KEYS[2], last[2]) end
local version = redis.call('GET', KEYS[1]) or '0'
local found = {version}
if version ~= ARGV[2] then
    for _, each in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
        local block = redis.call('HMGET', ARGV[1] .. each, 'ip', 'until', 'reason', 'at')
        if block[1] then
            local left = block[2] == '0' and 0 or math.max(block[2] - now, 1)
            found[#found + 1] = {block[1], string.format('%.0f', left), block[3], string.format('%.0f', now - block[4])}
        end
    end
end
return found
"""
)

# Decisions by mail: a hash of the time and the decision by queue id, and the time of the last one.
# KEYS: decisions, last.  ARGV: queue id, decision, lifetime.  -> 1 if it is the first one
HAND_IN = (
    _NOW
    + """
local first = redis.call('HSETNX', KEYS[1], ARGV[1], string.format('%.0f ', now) .. ARGV[2])
if first == 1 then
    redis.call('SET', KEYS[2], string.format('%.0f', now), 'PX', ARGV[3])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return first
"""
)

# KEYS: decisions, last.  ARGV: time of the last answer (0: none), lifetime, queue ids to remove.  -> now, (queue id,
# time and decision)… of the decisions since then
HANDED_IN = (
    _NOW
    + """
for i = 3, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
local found, since = {string.format('%.0f', now)}, tonumber(ARGV[1])
local last = redis.call('GET', KEYS[2])
if not last or tonumber(last) < since then return found end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
    local at = tonumber(string.match(all[i + 1], '^%d+'))
    if at + ARGV[2] <= now then
        redis.call('HDEL', KEYS[1], all[i])
    elseif at >= since then
        found[#found + 1], found[#found + 2] = all[i], all[i + 1]
    end
end
return found
"""
)
