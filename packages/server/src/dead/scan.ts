import type { Broker, Clock, ListenRequest, LogRecord } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { QueueOptions } from '../options.ts'
import { deadTopic } from '../topics.ts'
import { type Mark, OffsetMarks } from './offset-marks.ts'
import { readVerdict, type Verdict } from './verdict.ts'

export interface ScanParts {
  readonly broker: Broker
  readonly clock: Clock
  readonly queues: ReadonlyMap<string, ScannedQueue>
}

/** All that a question about dead letters has to know of a queue. */
export type ScannedQueue = Pick<QueueOptions, 'name' | 'topic'>

/** A partition of a dead topic, as far as it reached when it was looked at. */
export interface DeadPartition {
  readonly queue: ScannedQueue
  readonly topic: string
  readonly partition: number
  readonly start: number
  readonly end: number
}

/** What a read of one partition waits for its next record before it gives up. ms */
export const SCAN_QUIET_MAX_MS = 10_000
/** Partitions that one scan reads at once: each holds a few MiB of records that are still to be looked at. */
const PARTITIONS_AT_ONCE = 8

/** Those with something in them, of one queue or of all. */
export async function deadPartitions({ broker, queues }: ScanParts, queue?: string): Promise<DeadPartition[]> {
  const byTopic = new Map<string, ScannedQueue>()
  for (const one of queues.values()) {
    if (queue === undefined || one.name === queue) byTopic.set(deadTopic(one.topic), one)
  }
  const states = await broker.inspect({ topics: [...byTopic.keys()] })
  return states
    .filter(({ start, end }) => start < end)
    .map(({ topic, partition, start, end }) => ({ queue: byTopic.get(topic)!, topic, partition, start, end }))
}

/** Every record from `from` (default: the start) to the end, in batches. Throws BROKER_UNAVAILABLE when no more comes. */
export async function* readPartition(
  { broker, clock }: Pick<ScanParts, 'broker' | 'clock'>,
  { topic, partition, start, end }: Omit<DeadPartition, 'queue'>,
  signal: AbortSignal,
  from: ListenRequest['from'] = start,
): AsyncGenerator<readonly LogRecord[], undefined> {
  if (start >= end || (typeof from === 'number' && from >= end)) return
  signal.throwIfAborted()
  const listener = await broker.listen({ topic, partition, from })
  let reached = listener.from
  if (reached >= end) {
    await listener.close()
    return
  }
  const close = () => void listener.close()
  let quiet = clock.timer(SCAN_QUIET_MAX_MS, close)
  signal.addEventListener('abort', close, { once: true })
  try {
    for await (const records of listener) {
      quiet.cancel()
      const last = records.at(-1)!.offset
      yield last < end ? records : records.filter((record) => record.offset < end)
      reached = last + 1
      if (reached >= end) return
      quiet = clock.timer(SCAN_QUIET_MAX_MS, close)
    }
    signal.throwIfAborted()
    throw new ForebayError(
      'BROKER_UNAVAILABLE',
      `Partition ${partition} of ${topic} could be read up to ${reached} only, of ${end}; ask again.`,
    )
  } finally {
    quiet.cancel()
    signal.removeEventListener('abort', close)
    await listener.close()
  }
}

/** Reads all of these partitions, several at once. */
export async function readAll(
  parts: ScanParts,
  partitions: readonly DeadPartition[],
  signal: AbortSignal,
  visit: (record: LogRecord, partition: DeadPartition) => void,
): Promise<void> {
  const failed = new AbortController()
  const ended = AbortSignal.any([signal, failed.signal])
  const left = [...partitions]
  const readers = Array.from({ length: Math.min(PARTITIONS_AT_ONCE, left.length) }, async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      for await (const records of readPartition(parts, next, ended)) for (const record of records) visit(record, next)
    }
  })
  try {
    await Promise.all(readers)
  } catch (thrown) {
    failed.abort(thrown)
    await Promise.allSettled(readers)
    throw thrown
  }
}

/** Which letters have a verdict: 0 for none, else `VERDICT_MARKS`. */
export type VerdictMarks = ReadonlyMap<DeadPartition, OffsetMarks>
export const VERDICT_MARKS: Readonly<Record<Verdict['kind'], Mark>> = { redriven: 1, discarded: 2 }

/** Verdicts come behind their letters, so whoever wants to know which letters are open reads everything first. */
export async function readVerdicts(
  parts: ScanParts,
  partitions: readonly DeadPartition[],
  signal: AbortSignal,
): Promise<VerdictMarks> {
  const marks = new Map(partitions.map((partition) => [partition, new OffsetMarks()]))
  await readAll(parts, partitions, signal, (record, partition) => {
    const verdict = readVerdict(record)
    if (verdict !== null) marks.get(partition)!.mark(verdict.letterOffset, VERDICT_MARKS[verdict.kind])
  })
  return marks
}
