import type { LogRecord, RecordToPublish, TopicSpec } from '@forebay/broker'
import { CONTROL_TOPIC } from './topics.ts'

/**
 * What every dispatcher should hear, whoever owns the task. One partition, kept for an hour: a dispatcher that starts
 * reads what it has missed. Sent after what it tells of is durable elsewhere, so a lost one costs only work in vain.
 */
export interface Cancellation {
  readonly taskId: string
  readonly queue: string
  readonly generation: number
}

export const CONTROL_TOPIC_SPEC: TopicSpec = { name: CONTROL_TOPIC, partitions: 1, retentionMs: 3_600_000 }

export function cancellationRecord({ taskId, queue, generation }: Cancellation): RecordToPublish {
  const headers = [
    ['fb-kind', Buffer.from('cancel')],
    ['fb-queue', Buffer.from(queue)],
    ['fb-generation', Buffer.from(String(generation))],
  ] as const
  return { topic: CONTROL_TOPIC, partition: 0, key: Buffer.from(taskId), value: Buffer.alloc(0), headers }
}

/** Null for a record that is none of ours. */
export function decodeCancellation(record: LogRecord): Cancellation | null {
  const headers = new Map(record.headers.map(([name, value]) => [name, Buffer.from(value).toString()]))
  const generation = Number(headers.get('fb-generation') ?? '0')
  const queue = headers.get('fb-queue')
  if (record.key === null || queue === undefined || headers.get('fb-kind') !== 'cancel') return null
  if (!Number.isSafeInteger(generation) || generation < 0) return null
  return { taskId: Buffer.from(record.key).toString(), queue, generation }
}
