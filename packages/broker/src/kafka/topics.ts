import { ForebayError } from '@forebay/protocol'
import type { createTopicsV7 } from '@platformatic/kafka'
import type { TopicSpec } from '../broker.ts'
import { Backoff } from './backoff.ts'
import type { Cluster } from './cluster.ts'
import { CODE, codeOf, isRefusal, messageOf, responseIn } from './kafka-error.ts'

const CREATE_TIMEOUT_MS = 15_000
const REPLICAS_DEFAULT = 3
/** From this many copies on, two of them must have a record before it is acknowledged. */
const TWO_IN_SYNC_FROM = 3
/** Room for Kafka's framing around a record of the largest size. */
const FRAMING_BYTES = 64 * 1024

/** Makes the topics that are missing and waits until each partition has a leader. */
export async function ensureTopics(cluster: Cluster, topics: readonly TopicSpec[], signal: AbortSignal): Promise<void> {
  const { clock, random } = cluster.settings
  cluster.watch(topics.map(({ name }) => name))
  const backoff = new Backoff(random)
  let trouble: unknown = new Error('The topics have no leaders yet.')
  for (;;) {
    try {
      await cluster.refresh()
      const missing = topics.filter(({ name }) => cluster.partitionsOf(name) === undefined)
      if (missing.length === 0 && topics.every(({ name }) => allLed(cluster, name))) return
      if (missing.length > 0) await createTopics(cluster, missing)
    } catch (error) {
      if (error instanceof ForebayError && (error.code !== 'BROKER_UNAVAILABLE' || isRefusal(error))) throw error
      trouble = error
    }
    try {
      await clock.sleep(backoff.nextMs(), signal)
    } catch {
      throw unavailable(cluster, trouble)
    }
  }
}

function allLed(cluster: Cluster, topic: string): boolean {
  const partitions = cluster.partitionsOf(topic)!
  for (let at = 0; at < partitions; at++) if (cluster.leaderOf(topic, at) === undefined) return false
  return true
}

async function createTopics(cluster: Cluster, topics: readonly TopicSpec[]): Promise<void> {
  const { library, settings } = cluster
  const replicationFactor = settings.replicationFactor ?? Math.min(REPLICAS_DEFAULT, cluster.nodeCount)
  const wanted = topics.map(({ name, partitions, retentionMs }) => ({
    name,
    numPartitions: partitions,
    replicationFactor,
    assignments: [],
    configs: [
      { name: 'retention.ms', value: retentionMs === 'forever' ? '-1' : String(retentionMs) },
      { name: 'cleanup.policy', value: 'delete' },
      { name: 'max.message.bytes', value: String(settings.recordBytesMax + FRAMING_BYTES) },
      ...(replicationFactor >= TWO_IN_SYNC_FROM ? [{ name: 'min.insync.replicas', value: '2' }] : []),
      ...(settings.fsync ? [{ name: 'flush.messages', value: '1' }] : []),
    ],
  }))
  const link = await cluster.anyLink()
  try {
    await link.call(library.createTopicsV7.api, wanted, CREATE_TIMEOUT_MS, false)
  } catch (error) {
    const answer = responseIn<createTopicsV7.CreateTopicsResponse>(error)
    if (answer === null) throw error
    for (const topic of answer.topics) {
      if (topic.errorCode === 0 || topic.errorCode === CODE.TOPIC_ALREADY_EXISTS || passes(topic.errorCode)) continue
      throw new ForebayError(
        'CONFIG_INVALID',
        `Kafka did not make topic '${topic.name}': ${topic.errorMessage ?? messageOf(error)}`,
        { members: { topic: topic.name }, cause: error },
      )
    }
  }
}

/** No controller at the moment, too slow: worth another try. */
function passes(code: number): boolean {
  return code === CODE.REQUEST_TIMED_OUT || code === 41 || code === 89 || code === -1
}

function unavailable(cluster: Cluster, trouble: unknown): ForebayError {
  if (trouble instanceof ForebayError) return trouble
  const addresses = cluster.settings.bootstrap.map(({ host, port }) => `${host}:${port}`)
  const code = codeOf(trouble)
  const why = code === null ? messageOf(trouble) : `${messageOf(trouble)} (Kafka's code ${code})`
  return new ForebayError('BROKER_UNAVAILABLE', `Kafka at ${addresses.join(', ')} is not ready: ${why}`, {
    members: { addresses },
    cause: trouble,
  })
}
