package redis

import "github.com/redis/go-redis/v9"

// claimScript records the claim of a partition by a new worker.
//
//	KEYS head; ARGV epoch position tables
var claimScript = redis.NewScript(`
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'base', ARGV[2], 'position', ARGV[2], 'tables', ARGV[3])
return 1`)

// noticeScript moves a head and the versions of some schools. Nothing moves backwards, since a
// delayed notice must not undo a later one. A head that is missing, of an earlier epoch, or follows
// a failed notice (rebase) starts over at this position and with these tables.
//
//	KEYS head versions…; ARGV epoch position rebase tables, then for each versions: n tables projection version …
var noticeScript = redis.NewScript(`
local head = redis.call('HMGET', KEYS[1], 'epoch', 'position')
local epoch, position = tonumber(ARGV[1]), tonumber(ARGV[2])
local current = head[1] and tonumber(head[1])
if current and current > epoch then return 0 end
local arg = 5
for i = 2, #KEYS do
	local n, tables = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1])
	if tables > tonumber(redis.call('HGET', KEYS[i], ':tables') or 0) then
		redis.call('HSET', KEYS[i], ':tables', ARGV[arg + 1])
	end
	arg = arg + 2
	for _ = 1, n do
		local old = redis.call('HGET', KEYS[i], ARGV[arg])
		if not old or tonumber(old) < tonumber(ARGV[arg + 1]) then
			redis.call('HSET', KEYS[i], ARGV[arg], ARGV[arg + 1])
		end
		arg = arg + 2
	end
end
if not current or current < epoch then
	redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'base', ARGV[2], 'position', ARGV[2], 'tables', ARGV[4])
elseif tonumber(head[2]) <= position then
	redis.call('HSET', KEYS[1], 'position', ARGV[2])
	if ARGV[3] == '1' then redis.call('HSET', KEYS[1], 'base', ARGV[2], 'tables', ARGV[4]) end
end
return 1`)

// storeScript stores a result unless a projection that it was made from has changed since, or its
// table was exchanged. A projection without a version has not changed since the head was created, so
// it gets the head's position.
//
//	KEYS head versions entry; ARGV position ttl-in-ms value tables projection…
var storeScript = redis.NewScript(`
local head = redis.call('HMGET', KEYS[1], 'base', 'position', 'tables')
if not head[1] or tonumber(ARGV[4]) < tonumber(head[3]) then return 0 end
local position, needed = tonumber(ARGV[1]), tonumber(head[1])
for i = 5, #ARGV do
	local version = redis.call('HGET', KEYS[2], ARGV[i])
	if not version then
		version = head[2]
		redis.call('HSET', KEYS[2], ARGV[i], version)
	end
	needed = math.max(needed, tonumber(version))
end
if tonumber(ARGV[4]) >= tonumber(redis.call('HGET', KEYS[2], ':tables') or 0) then
	position = position + 0.5
end
if position < needed then return 0 end
redis.call('HSET', KEYS[3], 'position', ARGV[1], 'tables', ARGV[4], 'answer', ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[2])
return 1`)
