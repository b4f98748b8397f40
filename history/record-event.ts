import { createHash } from 'node:crypto'
import type { EventBody } from './history.ts'

/** A record of the log, as any reader of it has it. */
export interface SeenRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestampMs: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly (readonly [name: string, value: Uint8Array])[]
}

/** What names the queue of a topic, and what records of other producers are worth. */
export interface RecordRules {
  readonly resultsTopic: string
  /** Queue of each task topic. */
  readonly queues: ReadonlyMap<string, { readonly queue: string; readonly deadlineMs: number }>
}

/** The event that a record stands for; null for topics that tell nothing. Reads records by itself, as docs/records.md has them. */
export function recordEvent(record: SeenRecord, rules: RecordRules): EventBody | null {
  const header = new Map(record.headers.map(([name, value]) => [name, Buffer.from(value).toString()]))
  const number = (name: string) => Number(header.get(name) ?? '0')
  const { topic, partition, offset } = record
  const generation = number('fb-generation')
  if (topic === rules.resultsTopic) {
    const taskId = Buffer.from(record.key ?? []).toString()
    const state = header.get('fb-state') ?? ''
    if (header.get('fb-kind') === 'note') return { type: 'log.note', partition, offset, taskId, generation, state }
    if (header.get('fb-kind') !== 'result') return null
    const answer = digest(record.value)
    const attempts = number('fb-attempts')
    const finishedAtMs = number('fb-time')
    return { type: 'log.result', partition, offset, taskId, generation, state, answer, attempts, finishedAtMs }
  }
  if (header.has('fb-dead-origin')) {
    const [taskId, origin] = [header.get('fb-dead-task') ?? '', header.get('fb-dead-origin')!]
    return { type: 'log.dead', topic, partition, offset, taskId, generation, origin, body: digest(record.value) }
  }
  const queue = rules.queues.get(topic)
  if (queue === undefined) return null
  const id = header.has('fb-owner') ? header.get('ce_id') : undefined
  const acceptedAtMs = Date.parse(header.get('ce_time') ?? '') || record.timestampMs
  return {
    type: 'log.task',
    topic,
    partition,
    offset,
    taskId: id ?? `${topic}:${partition}:${offset}`,
    queue: queue.queue,
    key: record.key === null ? null : Buffer.from(record.key).toString(),
    owner: header.get('fb-owner') ?? 'log',
    generation,
    attemptsBefore: number('fb-attempts'),
    delayMs: number('fb-delay'),
    acceptedAtMs,
    deadlineAtMs: acceptedAtMs + Number(header.get('fb-budget') ?? queue.deadlineMs),
    body: digest(record.value),
  }
}

/** Names bytes in a history; short, as there is no adversary. */
export function digest(bytes: Uint8Array | null): string {
  return bytes === null ? 'none' : createHash('sha256').update(bytes).digest('base64url').slice(0, 12)
}
