import type { LogRecord, RecordHeader, RecordToPublish, TopicSpec } from '@forebay/broker'

/**
 * Each group has one topic for what it alone is given again: redriven dead letters and replayed events, as copies of the
 * records they were. So no other group sees them, and no position is moved back.
 */
export function againTopicOf(group: string): string {
  return `forebay.again.${group}`
}

/** Members that can share a long replay. Each consumer reads this topic beside those of its events, so no more than these. */
export const AGAIN_PARTITIONS = 4
/** As dead letters wait for an operator, so may their copies for a group that is down. 30 days, ms */
const AGAIN_RETENTION_MS = 30 * 86_400_000

export function againTopic(group: string): TopicSpec {
  return { name: againTopicOf(group), partitions: AGAIN_PARTITIONS, retentionMs: AGAIN_RETENTION_MS }
}

/** The copy: original key, bytes and headers, and where it was found. `redrives` counts them, this one too; 0: replayed. */
export function againRecord(found: LogRecord, group: string, redrives: number): RecordToPublish {
  const { topic, partition, offset, timestampMs, key, value, headers } = found
  const ours: readonly RecordHeader[] = [
    [ORIGIN, Buffer.from(`${topic}:${partition}:${offset}`)],
    [ORIGIN_TIME, Buffer.from(String(timestampMs))],
    [AGAIN, Buffer.from(String(redrives))],
  ]
  return { topic: againTopicOf(group), key, value: value ?? NOTHING, headers: [...withoutOurs(headers), ...ours] }
}

export interface FoundEvent {
  /** As it was found at first, whatever topic it came from now. */
  readonly record: LogRecord
  /** Null: it came from its own topic. Else how often it was redriven; 0: replayed. */
  readonly redrives: number | null
}

/** A copy that does not say where it comes from counts as found where it is. */
export function foundAtFirst(copy: LogRecord): FoundEvent {
  let [origin, timeMs, redrives] = ['', Number.NaN, 0]
  for (const [name, value] of copy.headers) {
    if (name === ORIGIN) origin = Buffer.from(value).toString()
    else if (name === ORIGIN_TIME) timeMs = naturalOf(value)
    else if (name === AGAIN) redrives = naturalOf(value) || 0
  }
  const [, topic, partition, offset] = PLACE.exec(origin) ?? []
  if (topic === undefined) return { record: copy, redrives }
  const timestampMs = Number.isNaN(timeMs) ? copy.timestampMs : timeMs
  const place = { topic, partition: Number(partition), offset: Number(offset) }
  return { record: { ...copy, ...place, timestampMs, headers: withoutOurs(copy.headers) }, redrives }
}

const ORIGIN = 'fb-origin'
const ORIGIN_TIME = 'fb-origin-time'
const AGAIN = 'fb-again'
const OURS: ReadonlySet<string> = new Set([ORIGIN, ORIGIN_TIME, AGAIN])
const PLACE = /^([\w.-]{1,249}):(\d{1,9}):(\d{1,15})$/
const NOTHING = new Uint8Array()

function withoutOurs(headers: readonly RecordHeader[]): readonly RecordHeader[] {
  return headers.filter(([name]) => !OURS.has(name))
}

/** NaN for anything else. */
function naturalOf(value: Uint8Array): number {
  const text = Buffer.from(value).toString()
  return /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
}
