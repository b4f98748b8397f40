import type { LogRecord, Position } from '@forebay/broker'
import { isErrorCode } from '@forebay/protocol'
import { naturalBelow, text } from '../records.ts'
import type { AttemptRecord } from '../task.ts'
import { FIRST_DEAD_HEADER } from './dead-record.ts'

/** A dead letter as it is read back. Its name is its place in the dead topic. */
export interface Letter {
  readonly partition: number
  readonly offset: number
  readonly queue: string
  readonly taskId: string
  /** As text; bytes that are no UTF-8 are replaced in it. Null when the record has none. */
  readonly key: string | null
  readonly code: string
  readonly detail: string
  readonly attempts: number
  readonly generation: number
  readonly worker: string | null
  /** When it was given up on; wall time, ms since 1970. */
  readonly atMs: number
  /** Where the record was found. */
  readonly origin: Position
  /** The record had no value, not even an empty one. */
  readonly tombstone: boolean
  /** What did not fit into the log a second time; empty for nearly all. */
  readonly cuts: readonly string[]
  readonly bytes: number
  /** In the dead topic, with our headers behind the original ones. */
  readonly record: LogRecord
}

/** Null for a record that is no letter: a verdict, or something foreign. */
export function readLetter(record: LogRecord): Letter | null {
  const { headers } = record
  let queue = ''
  let code = 'INTERNAL'
  let detail = ''
  let attempts = 0
  let generation = 0
  let worker: string | null = null
  let atMs = record.timestampMs
  let origin: Position | null = null
  let tombstone = false
  let cuts: string[] | undefined
  for (let index = headers.length - 1; index >= 0; index--) {
    const [name, value] = headers[index]!
    switch (name) {
      case 'fb-dead-queue':
        queue = text(value)
        break
      case 'fb-dead-code':
        code = text(value)
        break
      case 'fb-dead-detail':
        detail = text(value)
        break
      case 'fb-dead-attempts':
        attempts = naturalBelow(value, 2 ** 31) ?? 0
        break
      case 'fb-dead-generation':
        generation = naturalBelow(value, 2 ** 31) ?? 0
        break
      case 'fb-dead-worker':
        worker = text(value)
        break
      case 'fb-dead-time':
        atMs = naturalBelow(value, Number.MAX_SAFE_INTEGER) ?? atMs
        break
      case 'fb-dead-origin':
        origin = parsePosition(text(value))
        break
      case 'fb-dead-tombstone':
        tombstone = true
        break
      case 'fb-dead-cut':
        cuts ??= []
        cuts.unshift(text(value))
        break
      case FIRST_DEAD_HEADER:
        if (origin === null) return null
        return {
          partition: record.partition,
          offset: record.offset,
          queue,
          taskId: text(value),
          key: record.key === null ? null : text(record.key),
          code: isErrorCode(code) ? code : 'INTERNAL',
          detail,
          attempts,
          generation,
          worker,
          atMs,
          origin,
          tombstone,
          cuts: cuts ?? NO_CUTS,
          bytes: record.value?.length ?? 0,
          record,
        }
    }
  }
  return null
}

const NO_CUTS: readonly string[] = []

/** The record that died, as it was found; what was cut is missing in it. */
export function originalRecord({ record, origin, tombstone }: Letter): LogRecord {
  const { headers } = record
  const first = headers.findLastIndex(([name]) => name === FIRST_DEAD_HEADER)
  const time = headers.findLast(([name]) => name === 'fb-dead-origin-time')
  return {
    ...origin,
    timestampMs: (time === undefined ? null : naturalBelow(time[1], Number.MAX_SAFE_INTEGER)) ?? record.timestampMs,
    key: record.key,
    value: tombstone ? null : record.value,
    headers: headers.slice(0, first),
  }
}

/** Empty where nobody wrote one, or it cannot be read. */
export function historyOf({ record }: Letter): readonly AttemptRecord[] {
  const written = record.headers.findLast(([name]) => name === 'fb-dead-history')
  if (written === undefined) return []
  try {
    const history: unknown = JSON.parse(text(written[1]))
    return Array.isArray(history) ? history.filter(isAttempt) : []
  } catch {
    return []
  }
}

/** As far as it must be one for those who look at it. */
function isAttempt(value: unknown): value is AttemptRecord {
  if (typeof value !== 'object' || value === null) return false
  const { number, code, detail } = value as Partial<Record<string, unknown>>
  return typeof number === 'number' && typeof code === 'string' && typeof detail === 'string'
}

function parsePosition(written: string): Position | null {
  const match = /^(.+):(\d{1,9}):(\d{1,16})$/.exec(written)
  return match === null ? null : { topic: match[1]!, partition: Number(match[2]), offset: Number(match[3]) }
}
