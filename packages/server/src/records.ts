import type { LogRecord, RecordHeader, RecordToPublish } from '@forebay/broker'
import { isErrorCode } from '@forebay/protocol/errors'
import { isoTime } from './iso-time.ts'
import {
  type BlobRef,
  type Fault,
  isEndState,
  isOpenState,
  type Note,
  type Output,
  PRIORITY_DEFAULT,
  PRIORITY_MAX,
  type ProgressContent,
  type Result,
  type Task,
  type TaskHeader,
} from './task.ts'
import { RESULTS_TOPIC } from './topics.ts'

/**
 * The records of the log: plain ones that any client can read or write. A task's value is the request's body; its
 * headers are CloudEvents 1.0 in binary mode plus our own `fb-*`. docs/records.md is the same, for people.
 */

export function taskRecord(task: Task, topic: string, partition: number): RecordToPublish {
  const headers: RecordHeader[] = [
    CE_SPECVERSION,
    ['ce_id', latin1(task.id)],
    CE_TYPE_TASK,
    ['ce_source', constant(`/forebay/queues/${task.queue}`)],
    ['ce_time', latin1(isoTime(task.acceptedAtMs))],
    ['content-type', constant(task.contentType)],
    ['fb-owner', constant(task.owner)],
    ['fb-lane', constant(String(task.lane))],
    ['fb-budget', constant(String(task.budgetMs))],
  ]
  if (task.delayMs > 0) headers.push(['fb-delay', latin1(String(task.delayMs))])
  if (task.priority !== PRIORITY_DEFAULT) headers.push(['fb-priority', constant(String(task.priority))])
  if (task.generation > 0) headers.push(['fb-generation', constant(String(task.generation))])
  if (task.attemptsBefore > 0) headers.push(['fb-attempts', constant(String(task.attemptsBefore))])
  if (task.blob !== null) headers.push(['fb-blob', latin1(formatBlobRef(task.blob))])
  for (const [name, value] of task.headers) headers.push([name, latin1(value)])
  return { topic, partition, key: task.key === null ? null : Buffer.from(task.key), value: task.payload, headers }
}

/**
 * The same record once more, for its own partition: a parked task that is due, or a dead letter that gets a new life.
 * One that some other producer wrote keeps its id and its time, although it lies in another place now.
 */
export function taskRecordAgain(
  record: LogRecord,
  change: {
    readonly attemptsBefore: number
    readonly generation: number
    /** From acceptance to the new deadline, ms. Default: as it was. */
    readonly budgetMs?: number
  },
): RecordToPublish {
  const replaced = change.budgetMs === undefined ? REPLACED_WHEN_AGAIN : REPLACED_WITH_BUDGET
  const headers = record.headers.filter(([name]) => !replaced.has(name))
  if (!isSigned(record)) {
    if (!headers.some(([name]) => name === 'fb-task')) headers.push(['fb-task', latin1(placeOf(record))])
    if (!headers.some(([name]) => name === 'ce_time')) headers.push(['ce_time', latin1(isoTime(record.timestampMs))])
  }
  if (change.budgetMs !== undefined) headers.push(['fb-budget', constant(String(change.budgetMs))])
  if (change.generation > 0) headers.push(['fb-generation', constant(String(change.generation))])
  if (change.attemptsBefore > 0) headers.push(['fb-attempts', constant(String(change.attemptsBefore))])
  const { topic, partition, key, value } = record
  return { topic, partition, key, value: value ?? EMPTY, headers }
}

const REPLACED_WHEN_AGAIN: ReadonlySet<string> = new Set(['fb-delay', 'fb-generation', 'fb-attempts'])
const REPLACED_WITH_BUDGET: ReadonlySet<string> = new Set([...REPLACED_WHEN_AGAIN, 'fb-budget'])

/** Whether a gateway put it there: those name their task and its owner. */
function isSigned({ headers }: LogRecord): boolean {
  const owner = headers.findLast(([name]) => name === 'fb-owner')
  return owner !== undefined && text(owner[1]) !== LOG_OWNER && headers.some(([name]) => name === 'ce_id')
}

function placeOf({ topic, partition, offset }: LogRecord): string {
  return `${topic}:${partition}:${offset}`
}

/** 'sha256:<hex>:<bytes>' */
export function formatBlobRef({ sha256, bytes }: BlobRef): string {
  return `sha256:${sha256}:${bytes}`
}

export function parseBlobRef(value: string): BlobRef | null {
  const match = /^sha256:([0-9a-f]{64}):(\d{1,15})$/.exec(value)
  return match === null ? null : { sha256: match[1]!, bytes: Number(match[2]) }
}

export interface TaskDefaults {
  readonly queue: string
  readonly budgetMs: number
  readonly lanes: number
}

/**
 * A record some other producer put there without our headers is a task too: its id is derived from its place, its
 * owner is 'log', its lane follows from its partition. A tombstone becomes a task with an empty payload: whoever runs
 * tasks looks at the record's own value. A value goes before the blob that a header names: somebody put it there later.
 *
 * Where a header of ours does not say what it should, its default stands in, and a sentence is added to `faults`: who
 * runs tasks then gives the record up, as whoever wrote it meant something that nobody can know.
 */
export function decodeTask(record: LogRecord, defaults: TaskDefaults, faults?: string[]): Task {
  let id: string | undefined
  let foreignId: string | undefined
  let contentType = OCTET_STREAM
  let owner = LOG_OWNER
  let lane = record.partition % defaults.lanes
  let budgetMs = defaults.budgetMs
  let acceptedAtMs = record.timestampMs
  let delayMs = 0
  let priority = PRIORITY_DEFAULT
  let generation = 0
  let attemptsBefore = 0
  let blob: BlobRef | null = null
  const headers: TaskHeader[] = []
  for (const [name, value] of record.headers) {
    switch (name) {
      case 'ce_id':
        id = text(value)
        break
      case 'fb-task':
        foreignId = text(value)
        break
      case 'content-type':
        contentType = text(value)
        break
      case 'fb-owner':
        owner = text(value)
        break
      case 'fb-lane':
        lane = naturalBelow(value, defaults.lanes) ?? wrong(faults, name, value, lane)
        break
      case 'fb-budget':
        budgetMs = naturalBelow(value, Number.MAX_SAFE_INTEGER) ?? wrong(faults, name, value, budgetMs)
        break
      case 'fb-delay':
        delayMs = naturalBelow(value, Number.MAX_SAFE_INTEGER) ?? wrong(faults, name, value, 0)
        break
      case 'fb-priority':
        priority = naturalBelow(value, PRIORITY_MAX + 1) ?? wrong(faults, name, value, PRIORITY_DEFAULT)
        break
      case 'fb-generation':
        generation = naturalBelow(value, 2 ** 31) ?? wrong(faults, name, value, 0)
        break
      case 'fb-attempts':
        attemptsBefore = naturalBelow(value, 2 ** 31) ?? wrong(faults, name, value, 0)
        break
      case 'fb-blob':
        blob = parseBlobRef(text(value)) ?? wrong(faults, name, value, null)
        break
      case 'ce_time':
        acceptedAtMs = wallTime(value) ?? acceptedAtMs
        break
      default:
        if (!name.startsWith('ce_') && !name.startsWith('fb-')) headers.push([name, text(value)])
    }
  }
  const ours = id !== undefined && owner !== LOG_OWNER
  return {
    id: ours ? id! : (foreignId ?? placeOf(record)),
    queue: defaults.queue,
    key: record.key === null ? null : Buffer.from(record.key).toString(),
    payload: record.value ?? EMPTY,
    contentType,
    headers,
    owner,
    lane,
    acceptedAtMs,
    budgetMs,
    delayMs,
    priority,
    generation,
    attemptsBefore,
    blob: isEmpty(record.value) ? blob : null,
  }
}

function wrong<T>(faults: string[] | undefined, name: string, value: Uint8Array, instead: T): T {
  const shown = JSON.stringify(text(value.subarray(0, WRONG_SHOWN_BYTES)))
  faults?.push(`The record's header ${name} is ${shown}, which is no value for it.`)
  return instead
}
const WRONG_SHOWN_BYTES = 64

/** The owner of tasks that came straight from the log. */
export const LOG_OWNER = 'log'
/** The owner of tasks that a schedule made. */
export const SCHEDULE_OWNER = 'schedule'
export const OCTET_STREAM = 'application/octet-stream'

export function resultRecord(result: Result, lane: number): RecordToPublish {
  const { end } = result
  const headers: RecordHeader[] = [
    KIND_RESULT,
    ['fb-state', constant(end.state)],
    ['fb-queue', constant(result.queue)],
    ['fb-owner', constant(result.owner)],
    ['fb-attempts', constant(String(result.attempts))],
    ['fb-time', latin1(String(result.finishedAtMs))],
  ]
  if (result.generation > 0) headers.push(['fb-generation', constant(String(result.generation))])
  if (end.state === 'succeeded') {
    headers.push(['content-type', constant(end.contentType)])
    if (end.blob !== undefined) headers.push(['fb-blob', latin1(formatBlobRef(end.blob))])
  }
  const value = end.state === 'succeeded' ? end.payload : Buffer.from(JSON.stringify(end.fault))
  return { topic: RESULTS_TOPIC, partition: lane, key: latin1(result.taskId), value, headers }
}

export function noteRecord(note: Note, lane: number): RecordToPublish {
  const headers: RecordHeader[] = [
    KIND_NOTE,
    ['fb-state', constant(note.state)],
    ['fb-queue', constant(note.queue)],
    ['fb-owner', constant(note.owner)],
    ['fb-attempts', constant(String(note.attempts))],
    ['fb-time', latin1(String(note.atMs))],
  ]
  if (note.generation > 0) headers.push(['fb-generation', constant(String(note.generation))])
  const value = note.fault === null ? EMPTY : Buffer.from(JSON.stringify(note.fault))
  return { topic: RESULTS_TOPIC, partition: lane, key: latin1(note.taskId), value, headers }
}

export function outputRecord(output: Output, lane: number): RecordToPublish {
  const { content } = output
  const headers: RecordHeader[] = [
    content.kind === 'chunk' ? KIND_CHUNK : KIND_PROGRESS,
    ['fb-queue', constant(output.queue)],
    ['fb-owner', constant(output.owner)],
    ['fb-attempts', constant(String(output.attempts))],
    ['fb-time', latin1(String(output.atMs))],
    ['fb-run', latin1(output.run)],
    ['fb-chunks', latin1(String(output.chunks))],
  ]
  if (output.first) headers.push(FIRST)
  if (output.generation > 0) headers.push(['fb-generation', constant(String(output.generation))])
  if (content.kind === 'chunk') headers.push(['content-type', constant(content.contentType)])
  const value =
    content.kind === 'chunk'
      ? content.payload
      : Buffer.from(JSON.stringify({ fraction: content.fraction, message: content.message }))
  return { topic: RESULTS_TOPIC, partition: lane, key: latin1(output.taskId), value, headers }
}

export type Reported =
  | { readonly kind: 'result'; readonly result: Result }
  | { readonly kind: 'note'; readonly note: Note }
  | { readonly kind: 'output'; readonly output: Output }

/** Null for a record that is none of ours; whoever reads counts it and goes on. */
export function decodeReported(record: LogRecord): Reported | null {
  if (record.key === null || record.value === null) return null
  let kind = ''
  let state = ''
  let queue = ''
  let owner = ''
  let attempts = 0
  let atMs = record.timestampMs
  let contentType = OCTET_STREAM
  let generation = 0
  let blob: BlobRef | null = null
  let run = ''
  let chunks = -1
  let first = false
  for (const [name, value] of record.headers) {
    switch (name) {
      case 'fb-run':
        run = text(value)
        break
      case 'fb-chunks':
        chunks = naturalBelow(value, 2 ** 31) ?? -1
        break
      case 'fb-first':
        first = true
        break
      case 'fb-generation':
        generation = naturalBelow(value, 2 ** 31) ?? 0
        break
      case 'fb-blob':
        blob = parseBlobRef(text(value))
        break
      case 'fb-kind':
        kind = text(value)
        break
      case 'fb-state':
        state = text(value)
        break
      case 'fb-queue':
        queue = text(value)
        break
      case 'fb-owner':
        owner = text(value)
        break
      case 'fb-attempts':
        attempts = naturalBelow(value, 2 ** 31) ?? 0
        break
      case 'fb-time':
        atMs = naturalBelow(value, Number.MAX_SAFE_INTEGER) ?? atMs
        break
      case 'content-type':
        contentType = text(value)
        break
    }
  }
  const taskId = text(record.key)
  if (kind === 'result' && isEndState(state)) {
    const common = { taskId, queue, owner, attempts, generation, finishedAtMs: atMs }
    if (state === 'succeeded') {
      const end = { state, payload: record.value, contentType, ...(blob === null ? {} : { blob }) }
      return { kind: 'result', result: { ...common, end } }
    }
    const fault = decodeFault(record.value) ?? FAULT_UNREADABLE
    return { kind: 'result', result: { ...common, end: { state, fault } } }
  }
  if (kind === 'note' && isOpenState(state)) {
    const fault = decodeFault(record.value)
    return { kind: 'note', note: { taskId, queue, owner, state, attempts, generation, atMs, fault } }
  }
  if ((kind === 'chunk' || kind === 'progress') && RUN.test(run) && chunks >= 0) {
    const common = { taskId, queue, owner, attempts, generation, run, first, chunks, atMs }
    if (kind === 'chunk') {
      return { kind: 'output', output: { ...common, content: { kind, payload: record.value, contentType } } }
    }
    const content = decodeProgress(record.value)
    return content === null ? null : { kind: 'output', output: { ...common, content } }
  }
  return null
}

function decodeProgress(bytes: Uint8Array): ProgressContent | null {
  try {
    const { fraction, message } = JSON.parse(text(bytes)) as Partial<ProgressContent>
    if (typeof message !== 'string') return null
    if (fraction !== null && !(typeof fraction === 'number' && fraction >= 0 && fraction <= 1)) return null
    return { kind: 'progress', fraction, message }
  } catch {
    return null
  }
}

const RUN = /^[0-9a-f]{16}$/

function isEmpty(value: Uint8Array | null): boolean {
  return value === null || value.length === 0
}

const EMPTY = Buffer.alloc(0)
export const CE_SPECVERSION: RecordHeader = ['ce_specversion', Buffer.from('1.0')]
const CE_TYPE_TASK: RecordHeader = ['ce_type', Buffer.from('forebay.task')]
const KIND_RESULT: RecordHeader = ['fb-kind', Buffer.from('result')]
const KIND_NOTE: RecordHeader = ['fb-kind', Buffer.from('note')]
const KIND_CHUNK: RecordHeader = ['fb-kind', Buffer.from('chunk')]
const KIND_PROGRESS: RecordHeader = ['fb-kind', Buffer.from('progress')]
const FIRST: RecordHeader = ['fb-first', Buffer.from('1')]
const FAULT_UNREADABLE: Fault = { code: 'INTERNAL', detail: 'The record of this result could not be read.' }

export function latin1(value: string): Buffer {
  return Buffer.from(value, 'latin1')
}

export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
}

/** Values that repeat over many records (owners, queues, media types) are encoded once. Bounded. */
export function constant(value: string): Buffer {
  let bytes = constants.get(value)
  if (bytes === undefined) {
    bytes = Buffer.from(value)
    if (constants.size >= CONSTANTS_MAX) constants.clear()
    constants.set(value, bytes)
  }
  return bytes
}
const CONSTANTS_MAX = 1_000
const constants = new Map<string, Buffer>()

export function naturalBelow(bytes: Uint8Array, limit: number): number | null {
  const digits = text(bytes)
  if (!/^\d{1,16}$/.test(digits)) return null
  const value = Number(digits)
  return value < limit ? value : null
}

function wallTime(bytes: Uint8Array): number | null {
  const value = Date.parse(text(bytes))
  return Number.isNaN(value) ? null : value
}

function decodeFault(bytes: Uint8Array): Fault | null {
  if (bytes.length === 0) return null
  try {
    const { code, detail } = JSON.parse(text(bytes)) as Partial<Fault>
    if (typeof code === 'string' && isErrorCode(code) && typeof detail === 'string') return { code, detail }
  } catch {
    return null
  }
  return null
}
