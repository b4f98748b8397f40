import type { LogRecord, Position } from '@forebay/broker'
import { type EncodedEvent, fromRecord, typeOfRecord } from '@forebay/protocol/cloudevents'
import {
  formatPlace,
  historyOf,
  type Letter,
  type LetterFilter,
  type LetterFound,
  type LetterState,
  originalRecord,
  type Verdict,
} from '@forebay/server/dead'
import { deadTopicOf } from '../event-log.ts'

/** A dead letter of a group. */
export interface EventLetter {
  /** Its name, as in 'accounts/0/17': topic of the events, then partition and offset in that of their dead letters. */
  readonly letter: string
  readonly topic: string
  readonly state: LetterState
  /** Of the errors' table. */
  readonly code: string
  readonly detail: string
  readonly attempts: number
  /** How often it was redriven before it died here. */
  readonly redrives: number
  /** When it was given up on; wall ms since 1970. */
  readonly atMs: number
  /** Where the event lies in its topic, as long as that keeps it. */
  readonly origin: Position
  readonly key: string | null
  /** Type of the event, where its record says one. */
  readonly type: string | null
  /** Null where the record is no event. */
  readonly event: Omit<EncodedEvent, 'bytes'> | null
  /** What did not fit into the log beside the reason, and is missing; empty for nearly all. */
  readonly cuts: readonly string[]
}

export interface WholeLetter extends EventLetter {
  /** As it was found in the events' topic. */
  readonly record: LogRecord
  /** Its attempts: of many the first few and the last many. */
  readonly history: readonly AttemptOfLetter[]
  /** What was done with it, oldest first. */
  readonly verdicts: readonly Verdict[]
}

export type AttemptOfLetter = ReturnType<typeof historyOf>[number]

/** What is left out does not matter. */
export interface EventLetterFilter {
  /** Of the event. */
  readonly topic?: string
  readonly type?: string
  /** Error code. */
  readonly code?: string
  readonly key?: string
  /** The event's own. */
  readonly id?: string
  /** Given up on at or after; wall ms since 1970. */
  readonly sinceMs?: number
  /** Given up on before. */
  readonly untilMs?: number
  /** Default 'open'. */
  readonly state?: LetterState | 'any'
}

export function eventLetterOf(letter: Letter, state: LetterState, group: string): EventLetter {
  const { partition, offset, code, detail, attempts, generation: redrives, atMs, origin, key, cuts } = letter
  const topic = letter.record.topic.slice(0, -deadTopicOf('', group).length)
  const record = originalRecord(letter)
  const event = eventIn(record)
  return {
    letter: formatPlace({ queue: topic, partition, offset }),
    topic,
    state,
    code,
    detail,
    attempts,
    redrives,
    atMs,
    origin,
    key,
    type: event?.type ?? typeOfRecord(record),
    event,
    cuts,
  }
}

export function wholeLetterOf({ letter, state, verdicts }: LetterFound, group: string): WholeLetter {
  const record = originalRecord(letter)
  return { ...eventLetterOf(letter, state, group), record, history: historyOf(letter), verdicts }
}

export function scanFilterOf({ topic, type, id, ...rest }: EventLetterFilter): LetterFilter {
  const filter = topic === undefined ? rest : { ...rest, queue: topic }
  if (type === undefined && id === undefined) return filter
  return {
    ...filter,
    where(letter) {
      const record = originalRecord(letter)
      const event = fromRecord(record)
      const typeFound = typeof event === 'string' ? typeOfRecord(record) : event.type
      if (type !== undefined && type !== typeFound) return false
      return id === undefined || (typeof event !== 'string' && event.id === id)
    },
  }
}

function eventIn(record: LogRecord): EventLetter['event'] {
  const encoded = fromRecord(record)
  if (typeof encoded === 'string') return null
  const { bytes: _bytes, ...attributes } = encoded
  return attributes
}
