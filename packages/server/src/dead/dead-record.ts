import { createHash } from 'node:crypto'
import type { LogRecord, RecordHeader, RecordToPublish } from '@forebay/broker'
import { constant, latin1 } from '../records.ts'
import type { AttemptRecord, EndState, Fault } from '../task.ts'
import { deadTopic } from '../topics.ts'

export interface DeadLetter {
  /** The record as it was found. */
  readonly record: LogRecord
  readonly taskId: string
  readonly queue: string
  readonly attempts: number
  readonly state: Exclude<EndState, 'succeeded'>
  readonly fault: Fault
  readonly atMs: number
  /** Of the task that ended here. Default 0. */
  readonly generation?: number
  /** Where the letter goes. Default: the dead-letter topic of where the record was found. */
  readonly topic?: string
  /** Failed attempts, oldest first: keep them with `rememberAttempt`, from a task's first failure on. Default none. */
  readonly history?: readonly AttemptRecord[]
}

/** Ours begin with this one: whatever stands before the last of its name was in the record as it was found. */
export const FIRST_DEAD_HEADER = 'fb-dead-task'

/**
 * Original bytes, key and headers, and beside them why it is here and where it came from (P10). A letter that no log
 * would take is shortened, or its task's partition would be stuck for ever: first the history and the detail go, then
 * the end of the value, then the original headers and the key. `fb-dead-cut` says what is missing.
 */
export function deadRecord(letter: DeadLetter, bytesMax: number): RecordToPublish {
  const { record } = letter
  const whole = compose(letter, record, letter.history ?? [], letter.fault.detail, [])
  if (bytesOf(whole) <= bytesMax) return whole
  const detail = letter.fault.detail.slice(0, SHORT_DETAIL_CHARS)
  const lean = compose(letter, record, [], detail, [])
  if (bytesOf(lean) <= bytesMax) return lean
  const { value, cuts } = cutValue(
    record,
    Math.max(0, bytesMax - CUT_HEADER_BYTES - bytesOf({ ...lean, value: EMPTY })),
  )
  const shortened = compose(letter, { ...record, value }, [], detail, cuts)
  if (bytesOf(shortened) <= bytesMax) return shortened
  const bare = { ...record, value: EMPTY, key: null, headers: [] }
  return compose(letter, bare, [], detail, [
    ...cutValue(record, 0).cuts,
    `headers ${record.headers.length}`,
    keyCut(record),
  ])
}

function compose(
  letter: DeadLetter,
  { key, value, headers }: Pick<LogRecord, 'key' | 'value' | 'headers'>,
  history: readonly AttemptRecord[],
  detail: string,
  cuts: readonly string[],
): RecordToPublish {
  const { topic, partition, offset, timestampMs } = letter.record
  const ours: RecordHeader[] = [
    [FIRST_DEAD_HEADER, Buffer.from(letter.taskId.slice(0, TASK_ID_CHARS_MAX))],
    ['fb-dead-queue', constant(letter.queue)],
    ['fb-dead-state', constant(letter.state)],
    ['fb-dead-code', constant(letter.fault.code)],
    ['fb-dead-detail', Buffer.from(detail)],
    ['fb-dead-attempts', constant(String(letter.attempts))],
    ['fb-dead-generation', constant(String(letter.generation ?? 0))],
    ['fb-dead-time', latin1(String(letter.atMs))],
    ['fb-dead-origin', latin1(`${topic}:${partition}:${offset}`)],
    ['fb-dead-origin-time', latin1(String(timestampMs))],
  ]
  const worker = letter.history?.at(-1)?.worker ?? null
  if (worker !== null) ours.push(['fb-dead-worker', constant(worker)])
  if (history.length > 0) ours.push(['fb-dead-history', Buffer.from(JSON.stringify(history))])
  if (letter.record.value === null) ours.push(['fb-dead-tombstone', constant('true')])
  for (const cut of cuts) ours.push(['fb-dead-cut', latin1(cut)])
  return { topic: letter.topic ?? deadTopic(topic), key, value: value ?? EMPTY, headers: [...headers, ...ours] }
}

/** 'value sha256:<hex>:<bytes>': of the whole, so that it can be known again at its origin. */
function cutValue({ value }: LogRecord, room: number): { readonly value: Uint8Array | null; readonly cuts: string[] } {
  if (value === null || value.length <= room) return { value, cuts: [] }
  const sha256 = createHash('sha256').update(value).digest('hex')
  return { value: value.subarray(0, room), cuts: [`value sha256:${sha256}:${value.length}`] }
}

function keyCut({ key }: LogRecord): string {
  return `key ${key === null ? 'none' : key.length}`
}

/** As brokers count: key, value, headers. */
function bytesOf({ key, value, headers }: Pick<RecordToPublish, 'key' | 'value' | 'headers'>): number {
  let bytes = (key?.length ?? 0) + value.length + FRAMING_BYTES
  for (const [name, content] of headers) bytes += Buffer.byteLength(name) + content.length + FRAMING_BYTES
  return bytes
}

const EMPTY = Buffer.alloc(0)
/** Lengths before each part; brokers' own are smaller. */
const FRAMING_BYTES = 16
/** For `fb-dead-cut` of a value. */
const CUT_HEADER_BYTES = 256
const SHORT_DETAIL_CHARS = 200
/** Ours are shorter; some other producer may have written any. */
const TASK_ID_CHARS_MAX = 512
