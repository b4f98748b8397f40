import type { LogRecord, RecordToPublish } from '@forebay/broker'
import { constant, naturalBelow, text } from '../records.ts'
import { FIRST_DEAD_HEADER } from './dead-record.ts'
import type { Letter } from './letter.ts'

/**
 * What an operator did with a dead letter, written behind it in its own partition of the dead topic. A letter with a
 * verdict is no longer open. Nobody removes verdicts: they are the audit trail.
 */
export interface Verdict {
  readonly kind: VerdictKind
  /** The letter's place; the verdict lies in the same partition. */
  readonly partition: number
  readonly letterOffset: number
  readonly taskId: string
  /** The generation that died. */
  readonly generation: number
  /** Principal. */
  readonly by: string
  readonly atMs: number
  /** Empty when none was given. */
  readonly reason: string
  /** The new record has another body than the letter. */
  readonly edited: boolean
}

export type VerdictKind = 'redriven' | 'discarded'
export const REASON_CHARS_MAX = 500

export interface VerdictToWrite extends Pick<Verdict, 'kind' | 'by' | 'atMs' | 'reason' | 'edited'> {
  readonly letter: Letter
}

export function verdictRecord({ kind, letter, by, atMs, reason, edited }: VerdictToWrite): RecordToPublish {
  const { partition, offset } = letter
  return {
    topic: letter.record.topic,
    partition,
    key: Buffer.from(`${partition}:${offset}`),
    value: EMPTY,
    headers: [
      ['fb-kind', constant('verdict')],
      ['fb-verdict', constant(kind)],
      ['fb-task', Buffer.from(letter.taskId)],
      ['fb-generation', constant(String(letter.generation))],
      ['fb-by', constant(by)],
      ['fb-time', Buffer.from(String(atMs))],
      ['fb-reason', Buffer.from(reason.slice(0, REASON_CHARS_MAX))],
      ...(edited ? ([['fb-edited', constant('true')]] as const) : []),
    ],
  }
}

/** Null for letters, whatever stands in their original headers, and for what is foreign. */
export function readVerdict(record: LogRecord): Verdict | null {
  let kind = ''
  let verdict = ''
  let taskId = ''
  let generation = 0
  let by = ''
  let atMs = record.timestampMs
  let reason = ''
  let edited = false
  for (const [name, value] of record.headers) {
    switch (name) {
      case FIRST_DEAD_HEADER:
        return null
      case 'fb-kind':
        kind = text(value)
        break
      case 'fb-verdict':
        verdict = text(value)
        break
      case 'fb-task':
        taskId = text(value)
        break
      case 'fb-generation':
        generation = naturalBelow(value, 2 ** 31) ?? 0
        break
      case 'fb-by':
        by = text(value)
        break
      case 'fb-time':
        atMs = naturalBelow(value, Number.MAX_SAFE_INTEGER) ?? atMs
        break
      case 'fb-reason':
        reason = text(value)
        break
      case 'fb-edited':
        edited = true
        break
    }
  }
  if (kind !== 'verdict' || (verdict !== 'redriven' && verdict !== 'discarded') || record.key === null) return null
  const [, partition, offset] = /^(\d{1,9}):(\d{1,16})$/.exec(text(record.key)) ?? []
  if (Number(partition) !== record.partition || Number(offset) >= record.offset) return null
  const place = { partition: record.partition, letterOffset: Number(offset) }
  return { kind: verdict, ...place, taskId, generation, by, atMs, reason, edited }
}

const EMPTY = Buffer.alloc(0)
