import { script } from './connection.ts'

/** Of a task's hash, in the order in which scripts give and take them. */
export const TASK_FIELDS = [
  ...['ended', 'generation', 'at', 'state', 'attempts', 'queue', 'owner', 'content-type', 'fault', 'detail'],
  ...['blob', 'blob-bytes', 'payload'],
] as const

/** Of the hash that says where the run stands that counts. */
export const OUTPUT_FIELDS = [
  ...['generation', 'attempts', 'run', 'chunks', 'began'],
  ...['progress-offset', 'progress-chunks', 'progress-at', 'fraction', 'message'],
] as const

/** A hundred years: Redis refuses expiries that end beyond its reckoning. */
export const EXPIRY_MS_MAX = 100 * 365 * 24 * 3600 * 1000

const STREAM_FIELDS = OUTPUT_FIELDS.slice(0, OUTPUT_FIELDS.indexOf('began'))
const PROGRESS_FIELDS = OUTPUT_FIELDS.slice(OUTPUT_FIELDS.indexOf('progress-offset'))
/** At once, however small they are. */
const PAGE_CHUNKS_MAX = 1_000

function fieldAt(field: (typeof OUTPUT_FIELDS)[number]): string {
  return `'${field}', ARGV[i + ${2 + OUTPUT_FIELDS.indexOf(field)}]`
}

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
 * Keys: positions of the topic, life. Values: partition, expected, next, now, retention of results, of notes, prefix;
 * where the entries begin, counted from 1; for each task that says something its id, whether it begins anew, fields ('' for a progress
 * that is not there), number of chunks, and for each chunk offset, number, moment, type and payload; for each entry task id and fields.
 *
 * A chunk is an entry `<offset>-1` of the task's stream, as `0-0` is no name for one. Answers 1 and the number of results kept, or 0 and the position.
 */
export const APPLY = script(`${NOW}
  local stands = redis.call('HGET', KEYS[1], ARGV[1]) or ''
  if stands ~= ARGV[2] then return {0, stands} end
  local life = redis.call('GET', KEYS[2]) or '0'
  local now = now_ms(ARGV[4])
  local kept = 0
  local facts = tonumber(ARGV[8])
  local i = 9
  while i < facts do
    local head = ARGV[7] .. life .. ':output:' .. ARGV[i]
    local chunks = ARGV[7] .. life .. ':chunks:' .. ARGV[i]
    if ARGV[i + 1] == '1' or redis.call('EXISTS', head) == 0 then redis.call('DEL', head, chunks) end
    redis.call('HSET', head, ${STREAM_FIELDS.map(fieldAt).join(', ')})
    redis.call('HSETNX', head, 'began', ARGV[i + ${2 + OUTPUT_FIELDS.indexOf('began')}])
    if ARGV[i + ${2 + OUTPUT_FIELDS.indexOf('progress-offset')}] ~= '' then
      redis.call('HSET', head, ${PROGRESS_FIELDS.map(fieldAt).join(', ')})
    end
    i = i + ${2 + OUTPUT_FIELDS.length}
    for chunk = 1, tonumber(ARGV[i]) do
      redis.call('XADD', chunks, ARGV[i + 1] .. '-1', 'chunk', ARGV[i + 2], 'at', ARGV[i + 3],
        'content-type', ARGV[i + 4], 'payload', ARGV[i + 5])
      i = i + 5
    end
    i = i + 1
    redis.call('PEXPIRE', head, ARGV[5])
    redis.call('PEXPIRE', chunks, ARGV[5])
  end
  for i = facts, #ARGV, ${TASK_FIELDS.length + 1} do
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
      if ended == '1' then
        kept = kept + 1
        -- What the task has said stays as long as its end.
        if redis.call('PEXPIRE', ARGV[7] .. life .. ':output:' .. ARGV[i], ARGV[5]) == 1 then
          redis.call('PEXPIRE', ARGV[7] .. life .. ':chunks:' .. ARGV[i], ARGV[5])
        end
      end
    end
  end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  return {1, kept}`)

/**
 * Where the store stands and how things stand with tasks at that moment. Keys: positions of the topic, life. Values: partition, prefix,
 * task ids. Answers the position, and for each task generation and end as they are known, generation, run and chunks as it has said.
 */
export const KNOWN = script(`
  local life = redis.call('GET', KEYS[2]) or '0'
  local states = {redis.call('HGET', KEYS[1], ARGV[1])}
  for i = 3, #ARGV do
    local known = redis.call('HMGET', ARGV[2] .. life .. ':task:' .. ARGV[i], 'generation', 'ended')
    local said = redis.call('HMGET', ARGV[2] .. life .. ':output:' .. ARGV[i], 'generation', 'run', 'chunks')
    states[i - 1] = {known[1], known[2], said[1], said[2], said[3]}
  end
  return states`)

/**
 * Keys: life. Values: prefix, task id, offset to begin after, bytes of a page. Answers the fields of its head and chunks as streams have
 * them; nothing where nothing is kept of the generation that is known.
 */
export const READ_OUTPUTS = script(`
  local life = redis.call('GET', KEYS[1]) or '0'
  local head = redis.call('HMGET', ARGV[1] .. life .. ':output:' .. ARGV[2], ${OUTPUT_FIELDS.map((field) => `'${field}'`).join(', ')})
  local known = redis.call('HGET', ARGV[1] .. life .. ':task:' .. ARGV[2], 'generation')
  if not head[1] or (known and tonumber(known) > tonumber(head[1])) then return {} end
  local from = tonumber(ARGV[3]) < 0 and '-' or '(' .. ARGV[3] .. '-1'
  local chunks, bytes, count = {}, 0, 4
  while bytes < tonumber(ARGV[4]) or #chunks == 0 do
    local found = redis.call('XRANGE', ARGV[1] .. life .. ':chunks:' .. ARGV[2], from, '+', 'COUNT', count)
    for _, chunk in ipairs(found) do
      if bytes >= tonumber(ARGV[4]) and #chunks > 0 then break end
      chunks[#chunks + 1] = chunk
      bytes = bytes + #chunk[2][8]
      from = '(' .. chunk[1]
    end
    if #found < count or #chunks >= ${PAGE_CHUNKS_MAX} then break end
    count = math.min(count * 2, 256)
  end
  return {head, chunks}`)

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

/** For how long a claim without `by` counts: processes of the version before do not renew theirs. */
const UNRENEWED_CLAIM_MS = 45_000

/**
 * Keys: the reservation. Values: now, ms for which a claim counts, task id, fingerprint, window, run of the process. Answers
 * the kind and, where somebody holds the key, the task id.
 */
export const RESERVE = script(`${NOW}
  local now = now_ms(ARGV[1])
  local held = redis.call('HMGET', KEYS[1], 'task', 'fingerprint', 'kept', 'claimed', 'expires', 'by')
  if not held[1] or tonumber(held[5]) <= now then
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'task', ARGV[3], 'fingerprint', ARGV[4], 'kept', '0', 'resumed', '0',
      'claimed', whole(now), 'expires', whole(now + tonumber(ARGV[5])), 'by', ARGV[6])
    redis.call('PEXPIRE', KEYS[1], ARGV[5])
    return {'claimed'}
  end
  if held[2] ~= ARGV[4] then return {'mismatch'} end
  if held[3] == '1' then return {'kept', held[1]} end
  local counts = tonumber(ARGV[2])
  if not held[6] then counts = math.max(counts, ${UNRENEWED_CLAIM_MS}) end
  if tonumber(held[4]) > now - counts then return {'in-flight'} end
  redis.call('HSET', KEYS[1], 'resumed', '1', 'claimed', whole(now), 'by', ARGV[6])
  return {'resume', held[1]}`)

/**
 * Keys: the reservation. Values: confirm, release, doubt or renew; task id, run of the process, now. Answers 1 where the claim
 * was never anybody else's.
 */
export const SETTLE = script(`${NOW}
  local held = redis.call('HMGET', KEYS[1], 'kept', 'resumed', 'task', 'by', 'claimed')
  if held[3] ~= ARGV[2] then return 0 end
  local sole = held[2] == '0' and 1 or 0
  if ARGV[1] == 'confirm' then
    redis.call('HSET', KEYS[1], 'kept', '1')
  elseif held[1] == '1' then
    return 0
  elseif ARGV[1] == 'renew' then
    if held[4] == ARGV[3] and held[5] ~= '0' then
      redis.call('HSET', KEYS[1], 'claimed', whole(now_ms(ARGV[4])))
    end
  elseif ARGV[1] == 'release' and sole == 1 then
    redis.call('DEL', KEYS[1])
  else
    -- Somebody else may have appended it, so its id must stand for the key.
    redis.call('HSET', KEYS[1], 'resumed', '1', 'claimed', '0')
  end
  return sole`)
