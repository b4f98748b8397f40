import type { TopicSpec } from '@forebay/broker'
import type { QueueRules } from '../history/history.ts'
import type { RecordRules } from '../history/record-event.ts'
import { CLUSTER_TOPIC_SPEC } from '../packages/server/src/accept/cluster-secret.ts'
import { CONTROL_TOPIC_SPEC } from '../packages/server/src/control.ts'
import type { QueueOptions } from '../packages/server/src/options.ts'
import { deadTopic, RESULTS_TOPIC, taskTopic } from '../packages/server/src/topics.ts'

export const LANES = 2
const RETENTION_MS = 86_400_000
const RETRY: QueueOptions['retry'] = {
  attemptsMax: 4,
  withinMs: 300_000,
  backoffMs: 200,
  backoffMaxMs: 10_000,
  jitter: 'full',
  on: null,
  budget: null,
}

/**
 * Queues with times short enough to happen within a run: one that keeps the order of keys, one that does not, and one
 * that leaves it to an operator what becomes of tasks that fail too often.
 */
export const QUEUES: readonly QueueOptions[] = [
  queue('orders', { order: 'key', partitions: 4 }),
  queue('mails', { order: 'none', partitions: 2 }),
  queue('bills', { order: 'key', partitions: 1, onExhausted: 'park', retry: { ...RETRY, attemptsMax: 2 } }),
]

export const RULES: RecordRules = {
  resultsTopic: RESULTS_TOPIC,
  queues: new Map(QUEUES.map(({ name, topic, deadlineMs }) => [topic, { queue: name, deadlineMs }])),
}

export const QUEUE_RULES: ReadonlyMap<string, QueueRules> = new Map(
  QUEUES.map(({ name, topic, order, retry }) => [
    name,
    { topic, ordered: order === 'key', attemptsMax: retry.attemptsMax },
  ]),
)

export const TOPICS: readonly TopicSpec[] = [
  CLUSTER_TOPIC_SPEC,
  CONTROL_TOPIC_SPEC,
  { name: RESULTS_TOPIC, partitions: LANES, retentionMs: RETENTION_MS },
  ...QUEUES.flatMap(({ topic, partitions }) => [
    { name: topic, partitions, retentionMs: RETENTION_MS },
    { name: deadTopic(topic), partitions, retentionMs: 'forever' as const },
  ]),
]

function queue(name: string, other: Partial<QueueOptions>): QueueOptions {
  return {
    name,
    topic: taskTopic(name),
    route: null,
    key: null,
    order: 'none',
    target: { kind: 'workers' },
    concurrency: 6,
    rate: null,
    perKey: { concurrency: null, rate: null },
    fairness: null,
    timeoutMs: 4_000,
    deadlineMs: RETENTION_MS,
    retry: RETRY,
    breaker: null,
    onExhausted: 'dead',
    resultTopic: null,
    onClientGone: 'continue',
    schedule: [],
    idempotency: { required: false, windowMs: RETENTION_MS },
    schema: null,
    bodyBytesMax: 64 * 1024,
    partitions: 1,
    ...other,
  }
}
