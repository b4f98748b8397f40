import { script } from './connection.ts'

/** Of a task's hash, in the order in which scripts give and take them. */
export const TASK_FIELDS = [
  ...['ended', 'generation', 'at', 'state', 'attempts', 'queue', 'owner', 'content-type', 'fault', 'detail'],
  ...['blob', 'blob-bytes', 'payload'],
] as const

/** A hundred years: Redis refuses expiries that end beyond its reckoning. */
export const EXPIRY_MS_MAX = 100 * 365 * 24 * 3600 * 1000

const NOW = `
  local function now_ms(given)
    if given ~= '' then return tonumber(given) end
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  end
  local function whole(number) return string.format('%.0f', number) end`

/**
 * Takes what one partition had next, if the store stands where the caller thinks ('' for nowhere yet).
 *
 * Keys: positions of the topic, life. Values: partition, expected, next, now, retention of results, of notes, prefix, and
 * for each entry task id and fields. Answers 1 and the number of results kept, or 0 and the position.
 */
export const APPLY = script(`${NOW}
  local stands = redis.call('HGET', KEYS[1], ARGV[1]) or ''
  if stands ~= ARGV[2] then return {0, stands} end
  local life = redis.call('GET', KEYS[2]) or '0'
  local now = now_ms(ARGV[4])
  local kept = 0
  for i = 8, #ARGV, ${TASK_FIELDS.length + 1} do
    local key = ARGV[7] .. life .. ':task:' .. ARGV[i]
    local ended, generation = ARGV[i + 1], tonumber(ARGV[i + 2])
    local known = redis.call('HMGET', key, 'generation', 'ended')
    local before = tonumber(known[1] or '-1')
    if generation > before or (generation == before and known[2] == '0') then
      redis.call('HSET', key, ${TASK_FIELDS.map((field, index) =>
        field === 'at'
          ? `'at', whole(math.min(tonumber(ARGV[i + ${index + 1}]), now))`
          : `'${field}', ARGV[i + ${index + 1}]`,
      ).join(', ')})
      redis.call('PEXPIRE', key, ended == '1' and ARGV[5] or ARGV[6])
      if ended == '1' then kept = kept + 1 end
    end
  end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  return {1, kept}`)

/** Keys: life. Values: prefix, task ids. Answers the fields of each; all of them nil for one that is not known. */
export const READ = script(`
  local life = redis.call('GET', KEYS[1]) or '0'
  local found = {}
  for i = 2, #ARGV do
    found[i - 1] = redis.call('HMGET', ARGV[1] .. life .. ':task:' .. ARGV[i], ${TASK_FIELDS.map((field) => `'${field}'`).join(', ')})
  end
  return found`)

/**
 * Another life begins, without anything of the one before it. Keys: positions of the topic, life. Answers the number of
 * the life that is over.
 */
export const REBUILD = script(`
  redis.call('DEL', KEYS[1])
  return redis.call('INCR', KEYS[2]) - 1`)

/**
 * Keys: the reservation. Values: now, ms for which a claim counts, task id, fingerprint, window. Answers the kind and,
 * where somebody holds the key, the task id.
 */
export const RESERVE = script(`${NOW}
  local now = now_ms(ARGV[1])
  local held = redis.call('HMGET', KEYS[1], 'task', 'fingerprint', 'kept', 'claimed', 'expires')
  if not held[1] or tonumber(held[5]) <= now then
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'task', ARGV[3], 'fingerprint', ARGV[4], 'kept', '0', 'resumed', '0',
      'claimed', whole(now), 'expires', whole(now + tonumber(ARGV[5])))
    redis.call('PEXPIRE', KEYS[1], ARGV[5])
    return {'claimed'}
  end
  if held[2] ~= ARGV[4] then return {'mismatch'} end
  if held[3] == '1' then return {'kept', held[1]} end
  if tonumber(held[4]) > now - tonumber(ARGV[2]) then return {'in-flight'} end
  redis.call('HSET', KEYS[1], 'resumed', '1', 'claimed', whole(now))
  return {'resume', held[1]}`)

/** Keys: the reservation. Values: confirm, release or doubt. */
export const SETTLE = script(`
  local held = redis.call('HMGET', KEYS[1], 'kept', 'resumed')
  if not held[1] or held[1] == '1' then return 0 end
  if ARGV[1] == 'confirm' then
    redis.call('HSET', KEYS[1], 'kept', '1')
  elseif ARGV[1] == 'release' and held[2] == '0' then
    redis.call('DEL', KEYS[1])
  else
    -- The append before it was resumed may have been kept, so its id must stand for the key.
    redis.call('HSET', KEYS[1], 'resumed', '1', 'claimed', '0')
  end
  return 1`)
